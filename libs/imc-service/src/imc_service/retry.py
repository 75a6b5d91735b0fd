"""Retries: what failed is done again, after a pause that grows and is random."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from imc_service.logs import get_logger

logger = get_logger("retry")

T = TypeVar("T")

Faults = type[Exception] | tuple[type[Exception], ...]

_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double from ``first`` to ``longest`` seconds.

    Each is random, at least half as long: processes that failed together do not retry together.
    """

    first: float = 0.05
    longest: float = 2.0

    def after(self, failures: int) -> float:
        """How many seconds to wait after so many failures in a row, at least one."""
        doubled = self.first * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        return min(doubled, self.longest) * random.uniform(0.5, 1)  # noqa: S311 - no secret

    async def pause(self, failures: int = 1) -> None:
        """Wait as long as that. For a loop that does more than to repeat one action."""
        await asyncio.sleep(self.after(failures))

    async def retry(
        self,
        action: Callable[[], Awaitable[T]],
        faults: Faults,
        *,
        on_retry: Callable[[], object] | None = None,
    ) -> T:
        """The result of ``action``, which is repeated for as long as it raises one of ``faults``.

        ``on_retry`` is called before each pause.
        """

        async def attempt() -> T:
            # A function that tenacity sees to be async: the result of any other is not awaited.
            return await action()

        def tell(state: RetryCallState) -> None:
            fault = state.outcome.exception() if state.outcome else None
            # Whoever checks readiness tells of the outage, once.
            logger.debug("trying again", error=type(fault).__name__, reason=str(fault))
            if on_retry is not None:
                on_retry()

        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            wait=lambda state: self.after(state.attempt_number),
            retry=retry_if_exception_type(faults),
            before_sleep=tell,
            reraise=True,
        )
        return await retrying(attempt)
