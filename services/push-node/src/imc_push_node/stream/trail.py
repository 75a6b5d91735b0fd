"""Which entries were pushed lately, by which a log that has forked is followed back. No I/O.

A log forks when a replica takes over that lacked some of its entries: the new master goes on from an earlier
entry, with others. The entry before both is the origin of the fork. What was pushed after that is lost.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from imc_contracts.cursor import Cursor, EntryId

TRAIL_SECONDS = 60.0
"""For so long it is known what was pushed. Sentinels tell a master within some 10 s that it was replaced."""

MOST_ENTRIES = 10_000
"""Memory stays bounded, whatever an app sends."""


class _Step(NamedTuple):
    """Entries that were pushed together, and when."""

    at: float
    ids: Sequence[bytes]


class _Fork(NamedTuple):
    """What was lost, and when that was noticed."""

    at: float
    origin: bytes
    lost: frozenset[bytes]


class Trail:
    """The ids of entries as the log writes them, all of one epoch."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._forks: deque[_Fork] = deque()
        self._count = 0

    @property
    def is_short(self) -> bool:
        """Whether nothing is left to forget."""
        return self._count <= 1 and not self._forks

    @property
    def ids(self) -> list[bytes]:
        """The entries that were pushed, oldest first."""
        return [id_text for step in self._steps for id_text in step.ids]

    def add(self, ids: Sequence[bytes], at: float) -> None:
        """Note entries that follow those noted last."""
        self._steps.append(_Step(at, ids))
        self._count += len(ids)
        while self._count > MOST_ENTRIES and len(self._steps) > 1:
            self._drop()

    def go_back(self, origin: bytes, at: float) -> None:
        """Note that what was pushed after ``origin``, one of `ids`, is lost."""
        ids = self.ids
        kept = ids.index(origin) + 1
        self._forks.append(_Fork(at, origin, frozenset(ids[kept:])))
        self._steps.clear()
        self._steps.append(_Step(at, ids[:kept]))
        self._count = kept

    def origin_of(self, position: Cursor) -> Cursor | None:
        """The origin of the fork that ``position`` was lost by, if that is known."""
        text = str(position.entry).encode()
        for fork in reversed(self._forks):
            if text in fork.lost:
                return Cursor(position.epoch, EntryId.parse(fork.origin))
        return None

    def forget(self, before: float) -> None:
        """Drop what was noted before that time, but for its newest entry: a fork may begin there."""
        while len(self._steps) > 1 and self._steps[1].at < before:
            self._drop()
        if self._steps and self._steps[0].at < before:
            at, ids = self._steps.popleft()
            self._steps.appendleft(_Step(at, ids[-1:]))
            self._count -= len(ids[:-1])
        while self._forks and self._forks[0].at < before:
            self._forks.popleft()

    def clear(self) -> None:
        """Drop everything: another epoch begins."""
        self._steps.clear()
        self._forks.clear()
        self._count = 0

    def _drop(self) -> None:
        self._count -= len(self._steps.popleft().ids)
