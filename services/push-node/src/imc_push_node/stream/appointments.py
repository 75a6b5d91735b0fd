"""When to look at something again, though nothing happens to it. No I/O."""

import heapq
import itertools
import math
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Appointments(Generic[T]):
    """At most one for each thing. What waits costs nothing until its time comes."""

    def __init__(self) -> None:
        self._times: dict[T, float] = {}
        self._queue: list[tuple[float, int, T]] = []
        """By time. Those that another one took the place of are skipped."""
        self._numbers = itertools.count()

    def make(self, thing: T, at: float) -> None:
        """Have ``thing`` among the `due` at a time, unless it has an earlier appointment."""
        if at < self._times.get(thing, math.inf):
            self._times[thing] = at
            heapq.heappush(self._queue, (at, next(self._numbers), thing))

    def cancel(self, thing: T) -> None:
        """Forget the appointment of ``thing``, if it has one."""
        self._times.pop(thing, None)

    def due(self, now: float) -> Iterator[T]:
        """Take those whose time has come, the earliest first."""
        while self._queue and self._queue[0][0] <= now:
            at, _, thing = heapq.heappop(self._queue)
            if self._times.get(thing) == at:
                del self._times[thing]
                yield thing
