"""Doing a thing until it succeeds."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imc_service.logs import get_logger

logger = get_logger("projector")

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0


class Backoff:
    """Pauses that double up to a bound; each is random, so that processes do not come back as one."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS

    async def pause(self) -> None:
        """Wait, the next time longer."""
        await asyncio.sleep(self._seconds * random.uniform(0.5, 1))  # noqa: S311 - no secret
        self._seconds = min(2 * self._seconds, LONGEST_PAUSE_SECONDS)


async def patiently(
    action: Callable[[], Awaitable[T]],
    outages: tuple[type[Exception], ...],
    on_retry: Callable[[], None],
) -> T:
    """The result of ``action``, which is repeated for as long as it raises one of ``outages``."""
    backoff = Backoff()
    while True:
        try:
            return await action()
        except outages as error:
            # That something is out of reach is told once, by the watch over readiness.
            logger.debug("trying again", error=type(error).__name__, reason=str(error))
            on_retry()
            await backoff.pause()
