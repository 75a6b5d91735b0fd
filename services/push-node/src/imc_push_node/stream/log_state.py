"""Where a log stands, and what a stretch of it proves: no I/O here.

A point can be trusted to have nothing missing behind it only if the log proves it: see `Stretch.proves`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_contracts.events import Entry

UNBORN_FIELD = "unborn"
FIELDS = ["epoch", "born", "last", UNBORN_FIELD]
"""Of the hash beside the log, in the order in which `read` takes their values."""


@dataclass(frozen=True, slots=True)
class LogState:
    """Where a log stood at one moment. ``born`` and ``last`` are `ORIGIN` while it is unborn."""

    epoch: str
    """While it is unborn the same as ``unborn``."""
    born: EntryId
    last: EntryId
    now_ms: int
    unborn: str = ""
    """The epoch of points of before its birth; "" if nobody has asked for one."""

    @property
    def point(self) -> Cursor:
        """The place after its newest entry; of an unborn log, the moment."""
        return Cursor(self.epoch, EntryId(self.now_ms, 0) if self.last == ORIGIN else self.last)

    def names(self, point: Cursor) -> bool:
        """Whether ``point`` is one of this log, of before its birth included."""
        return point.epoch in (self.epoch, self.unborn)

    def stays_unborn_since(self, point: Cursor) -> bool:
        """Whether the log held nothing at ``point``, and has not been anything else since."""
        return point.is_unborn and point.epoch == self.epoch

    def is_born_after(self, point: Cursor) -> bool:
        """Whether the log held nothing at ``point``, and its first entry came then."""
        return point.is_unborn and point.epoch == self.unborn and point.entry <= self.born


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a log still held at one moment: the entries from ``first`` on. All before are in the database."""

    state: LogState
    first: EntryId
    """Where there is no entry, the place of the next."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a log held from ``start`` up to ``end``, read in one atomic step together with its state."""

    state: LogState
    start: Cursor
    places: frozenset[EntryId]
    """The places of all that was there, ``start`` and entries that are none of ours included."""
    entries: list[Entry]
    """The entries after ``start``; no content of recalled messages in them."""
    end: Cursor
    is_last: bool
    """Whether the log held nothing beyond ``end``."""
    is_from_birth: bool
    """Whether it begins with the first entry that the log ever had."""

    def lacks(self, entry: EntryId) -> bool:
        """Whether ``entry`` is certainly not in the log: others are on both sides of where it would be.

        Trimming takes from the old end alone, so that this is not the log that the entry was told from: a
        replica that had not received it has taken over, say.
        """
        is_within = any(place < entry for place in self.places) and entry <= self.end.entry
        return is_within and entry not in self.places

    def proves(self, point: Cursor) -> bool:
        """Whether everything that followed ``point``, up to ``end``, is known to be here.

        So it is if the entry at ``point`` is still there, or the one right after it, since logs are trimmed
        from their old end, or if it is the newest one. A point of before the log's birth needs the whole log.
        Anything else (trimmed, of another epoch, of a future that a lost server took along) proves nothing.
        """
        if point.is_unborn:
            is_before_birth = self.is_from_birth and self.state.is_born_after(point)
            return is_before_birth or self.state.stays_unborn_since(point)
        if point.epoch != self.state.epoch:
            return False
        entry = point.entry
        return entry == self.state.last or entry in self.places or entry.following in self.places


def read(now: tuple[int, int], fields: Sequence[bytes | None]) -> LogState:
    """What Redis answers to TIME, and to HMGET of `FIELDS`."""
    epoch, born, last, unborn_field = fields
    now_ms, unborn = now[0] * 1000 + now[1] // 1000, (unborn_field or b"").decode()
    if epoch is None or born is None or last is None:
        return LogState(unborn, ORIGIN, ORIGIN, now_ms, unborn)
    return LogState(epoch.decode(), EntryId.parse(born), EntryId.parse(last), now_ms, unborn)
