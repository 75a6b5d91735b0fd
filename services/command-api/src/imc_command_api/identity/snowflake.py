"""Makes ids under a leased worker number."""

import time
from collections.abc import Callable

from imc_command_api.domain.ids import SEQUENCES, id_of
from imc_command_api.handlers.ports import IdsUnavailable


def wall_clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Snowflakes:
    """The generator of ids of one process.

    A lease covers a range of id time, from a floor up to a bound. Outside of it no id is made. So neither a
    clock that steps back nor a lease that another process has taken over can repeat an id.
    """

    def __init__(self, clock: Callable[[], int] = wall_clock_ms) -> None:
        self.clock = clock
        self._worker = 0
        self._last_ms = 0
        self._sequence = 0
        self._until = 0

    @property
    def is_leased(self) -> bool:
        """Whether an id could be made now."""
        return max(self.clock(), self._last_ms) <= self._until

    @property
    def last_ms(self) -> int:
        """The time in the newest id."""
        return self._last_ms

    def lease(self, worker: int, floor_ms: int, until_ms: int) -> None:
        """Use ``worker`` for id times from ``floor_ms`` to ``until_ms``, both inclusive.

        If it is the same worker as before, only the bound moves. Time never goes back.
        """
        if worker != self._worker or self._last_ms < floor_ms:
            self._last_ms = max(self._last_ms + 1, floor_ms)
            self._sequence = -1
        self._worker = worker
        self._until = until_ms

    def next(self) -> int:
        """A new id; raises `IdsUnavailable`."""
        now = self.clock()
        if now > self._last_ms:
            ms, sequence = now, 0
        else:
            # The clock stands still or has stepped back: continue from the newest id.
            ms, sequence = self._last_ms, self._sequence + 1
            if sequence == SEQUENCES:
                ms, sequence = ms + 1, 0
        if ms > self._until:
            raise IdsUnavailable
        self._last_ms, self._sequence = ms, sequence
        return id_of(ms, self._worker, sequence)
