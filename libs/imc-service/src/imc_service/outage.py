"""Logs an outage once when it begins and once when it ends, however many attempts fail in between."""

from collections.abc import Callable
from typing import Any

_MOST_REASONS = 20
"""A reason that bears a number may be a new one each time."""


class Outage:
    """One activity that may fail repeatedly, such as reading the log.

    ``tell`` is a method of a logger: debug, if another part logs the same outage.
    """

    def __init__(self, tell: Callable[..., Any], what: str) -> None:
        self._tell = tell
        self._what = what
        self._told = set[str]()
        """The reasons that were logged in this outage."""
        self.words: str | None = None
        """Why it fails now; None while it works."""

    def goes_on(self, words: str) -> None:
        """Note a failure with the reason ``words``. Each reason of an outage is logged once."""
        if words not in self._told and len(self._told) < _MOST_REASONS:
            self._told.add(words)
            self._tell(f"{self._what} fails", error=words)
        self.words = words

    def is_over(self) -> None:
        """Note a success."""
        if self.words is not None:
            self._tell(f"{self._what} works again")
        self._told.clear()
        self.words = None

    async def reason(self) -> str | None:
        """A readiness check: why it fails now, or None."""
        return self.words
