"""Telling of an outage: once when it begins, and once when it is over, however often is tried meanwhile."""

from collections.abc import Callable
from typing import Any


class Outage:
    """One thing that may fail again and again, such as the reading of the log.

    ``tell`` is a method of a logger: that of debug where another part tells of the same outage.
    """

    def __init__(self, tell: Callable[..., Any], what: str) -> None:
        self._tell = tell
        self._what = what
        self.words: str | None = None
        """Why it fails just now; None while it works."""

    def goes_on(self, words: str) -> None:
        """It has failed, for the reason ``words``; another reason than the last is told too."""
        if words != self.words:
            self._tell(f"{self._what} fails", error=words)
        self.words = words

    def is_over(self) -> None:
        """It has worked."""
        if self.words is not None:
            self._tell(f"{self._what} works again")
        self.words = None

    async def reason(self) -> str | None:
        """A readiness check: why it fails just now, or None."""
        return self.words
