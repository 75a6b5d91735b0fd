"""How the latest attempts to store rows ended: whether anything is being stored at all."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Generator

from imc_service.database.database import StatementRefused, StoreUnavailable

FAILING_SECONDS = 1.0
"""A lost deadlock is over by then."""

HUNG_SECONDS = 3.0
RECENT_SECONDS = 10.0
REFUSED_ROWS = 10
"""Fewer may be at fault themselves."""


class Attempts:
    """Notes attempts, of several tasks at once, and judges by those since the last that succeeded."""

    def __init__(self) -> None:
        self._under_way: deque[float] = deque()
        self._failures = 0
        self._first_failure = 0.0
        self._refused: set[int] = set()
        self._latest = 0.0
        self._words = ""

    @contextlib.contextmanager
    def noted(self, only_row: int | None) -> Generator[None]:
        """Let what is done inside count as an attempt; ``only_row`` is the id of the row if it is but one."""
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
        """Why nothing is being stored, in the words of the database, or None."""
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
