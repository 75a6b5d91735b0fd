"""Judges by the latest attempts whether rows are being stored at all."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Generator, Hashable

from imc_service.database.database import StatementRefused, StoreUnavailable

FAILING_SECONDS = 1.0
"""Longer than a deadlock that is retried takes."""

HUNG_SECONDS = 3.0
RECENT_SECONDS = 10.0
REFUSED_ROWS = 10
"""If fewer rows are refused, the rows themselves may be at fault."""


class Attempts:
    """Records attempts of all tasks, and judges by those since the last success."""

    def __init__(self) -> None:
        self._under_way: deque[float] = deque()
        self._failures = 0
        self._first_failure = 0.0
        self._refused: set[Hashable] = set()
        self._latest = 0.0
        self._words = ""

    @contextlib.contextmanager
    def noted(self, only_row: Hashable | None) -> Generator[None]:
        """Record what is done inside as one attempt; ``only_row`` is the key of a single row."""
        begun = time.monotonic()
        self._under_way.append(begun)
        try:
            yield
        except StatementRefused as error:
            if only_row is not None and len(self._refused) < REFUSED_ROWS:
                self._refused.add(only_row)
            self._note(str(error))
            raise
        except (StoreUnavailable, asyncio.CancelledError) as error:
            self._failures += 1
            if self._failures == 1:
                self._first_failure = time.monotonic()
            self._note(str(error) or "no answer in time")
            raise
        else:
            self._failures = 0
            self._refused.clear()
        finally:
            self._under_way.remove(begun)

    def trouble(self) -> str | None:
        """Why nothing is being stored, in the database's words, or None."""
        now = time.monotonic()
        if self._under_way and now - self._under_way[0] > HUNG_SECONDS:
            return f"a transaction has not ended for {HUNG_SECONDS:g} s"
        if now - self._latest > RECENT_SECONDS:
            return None
        if self._failures > 1 and now - self._first_failure > FAILING_SECONDS:
            return self._words
        if len(self._refused) == REFUSED_ROWS:
            return f"one row after the other is refused: {self._words}"
        return None

    def _note(self, words: str) -> None:
        self._latest = time.monotonic()
        self._words = words
