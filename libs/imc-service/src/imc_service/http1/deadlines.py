"""What a connection waits for, and until when: a deadline that moves often and rarely passes."""

import asyncio
from collections.abc import Callable

NEVER = float("inf")
_TICK_SECONDS = 0.001
"""Event loops count in milliseconds: a timer may fire this much too early."""


class Awaited:
    """What a connection waits for from its client."""

    # No Enum: in Python 3.11 an access to a member takes 0.1 µs, and each request needs several.
    NOTHING, REQUEST, HEAD, BODY, READING, END = range(6)


class Deadline:
    """Calls ``on_passed`` once it has passed. To postpone or lift it touches no timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[], None]) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self._at = NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    def set(self, at: float) -> None:
        """Set it to ``at``, by the clock of the loop. `NEVER` lifts it."""
        self._at = at
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._loop.call_at(at, self._look), at

    def end(self) -> None:
        """Lift it for good."""
        self._at = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, NEVER

    def _look(self) -> None:
        self._timer, self._timer_at = None, NEVER
        at, self._at = self._at, NEVER
        if at - self._loop.time() > _TICK_SECONDS:
            self.set(at)
        else:
            self._on_passed()
