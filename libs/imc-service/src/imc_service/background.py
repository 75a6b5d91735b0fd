"""Tasks that run until they are told to end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from typing import Any

from imc_service.logs import get_logger

logger = get_logger("background")

INSIST_SECONDS = 0.1
AGAIN_SECONDS = 1.0


async def lasting(work: Callable[[], Awaitable[None]]) -> None:
    """Do ``work``, which never ends by itself, and begin it again if it fails: nothing else would do it."""
    while True:
        try:
            await work()
        except Exception as fault:
            logger.error("a part of the process failed, and begins again", exc_info=fault)
        await asyncio.sleep(AGAIN_SECONDS)


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Do ``work`` beside what is done inside, until that is left."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await end([task])


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end.

    More than once where needed: `asyncio.wait_for`, by which redis-py sends commands, loses a cancellation
    that meets the end of what it waits for (before Python 3.12).
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=INSIST_SECONDS)
