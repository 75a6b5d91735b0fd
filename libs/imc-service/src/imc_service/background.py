"""Tasks that run until they are told to end."""

import asyncio
from collections.abc import Iterable
from typing import Any

INSIST_SECONDS = 0.1


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
