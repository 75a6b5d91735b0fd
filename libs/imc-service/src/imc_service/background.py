"""Tasks that run until they are cancelled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

from imc_service.logs import get_logger

logger = get_logger("background")

INSIST_SECONDS = 0.1
AGAIN_SECONDS = 1.0


async def lasting(work: Callable[[], Awaitable[None]]) -> None:
    """Run ``work``, which never ends by itself, and restart it if it fails."""
    while True:
        try:
            await work()
        except Exception as fault:
            logger.error("a part of the process failed, and is restarted", exc_info=fault)
        await asyncio.sleep(AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run ``work`` as a task while the context lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end([task])


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end.

    A task is cancelled again if needed: `asyncio.wait_for`, with which redis-py sends commands, loses a
    cancellation that coincides with the end of what it waits for (before Python 3.12).
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=INSIST_SECONDS)
