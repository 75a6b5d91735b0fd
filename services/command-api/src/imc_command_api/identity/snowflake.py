"""Snowflakes: 41 bits of milliseconds, 10 of the worker, 12 of a sequence. They sort by time.

The epoch and the layout are those of the Java version, so that ids of both sort together.
"""

import time
from collections.abc import Callable

EPOCH_MS = 1_557_825_652_094
WORKER_BITS = 10
SEQUENCE_BITS = 12
WORKERS = 1 << WORKER_BITS
_SEQUENCES = 1 << SEQUENCE_BITS


class LeaseOver(Exception):
    """No id can be made: the worker number is not ours at this time."""


def time_of(id_: int) -> int:
    """The Unix milliseconds in a Snowflake."""
    return (id_ >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS


def wall_clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Snowflakes:
    """Makes ids under a leased worker number.

    The lease covers a stretch of id time, from a floor up to a bound: outside it nothing is made, so that
    neither a clock that steps nor a lease that another took over can repeat an id.
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

        With the number of before only the bound moves; time never goes back.
        """
        if worker != self._worker or self._last_ms < floor_ms:
            self._last_ms = max(self._last_ms + 1, floor_ms)
            self._sequence = -1
        self._worker = worker
        self._until = until_ms

    def next(self) -> int:
        """A new id; raises `LeaseOver`."""
        now = self.clock()
        if now > self._last_ms:
            ms, sequence = now, 0
        else:
            # The clock stands or has stepped back: go on from the newest id, into the next ms if it is full.
            ms, sequence = self._last_ms, self._sequence + 1
            if sequence == _SEQUENCES:
                ms, sequence = ms + 1, 0
        if ms > self._until:
            raise LeaseOver
        self._last_ms, self._sequence = ms, sequence
        return (ms - EPOCH_MS) << (WORKER_BITS + SEQUENCE_BITS) | self._worker << SEQUENCE_BITS | sequence
