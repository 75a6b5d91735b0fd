"""The state of a log, and what a stretch of it proves. No I/O.

A gateway may go on from a position only if the log proves that nothing is missing after it: see
`Stretch.proves`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_contracts.events import Entry

UNBORN_FIELD = "unborn"
FIELDS = ["epoch", "born", "last", UNBORN_FIELD]
"""Fields of the hash beside the log, in the order that `read` expects."""


@dataclass(frozen=True, slots=True)
class LogState:
    """The state of a log at one moment. ``born`` and ``last`` are `ORIGIN` while it is unborn."""

    epoch: str
    """The same as ``unborn`` while the log is unborn."""
    born: EntryId
    last: EntryId
    now_ms: int
    unborn: str = ""
    """The epoch of positions of before its birth; "" if nobody has asked for one."""

    @property
    def point(self) -> Cursor:
        """The position of its newest entry. Of an unborn log, the moment."""
        return Cursor(self.epoch, EntryId(self.now_ms, 0) if self.last == ORIGIN else self.last)

    def names(self, point: Cursor) -> bool:
        """Whether ``point`` is a position of this log, or of before its birth."""
        return point.epoch in (self.epoch, self.unborn)

    def stays_unborn_since(self, point: Cursor) -> bool:
        """Whether the log held nothing at ``point``, and has not been anything else since."""
        return point.is_unborn and point.epoch == self.epoch

    def is_born_after(self, point: Cursor) -> bool:
        """Whether the log held nothing at ``point``, and its first entry came then."""
        return point.epoch == self.unborn and point.entry <= self.born


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a log still held at one moment: entries from ``first`` on. Those before it are in the database."""

    state: LogState
    first: EntryId
    """If there is no entry, the id of the next one."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a log held from ``start`` to ``end``, read in one atomic step together with its state."""

    state: LogState
    start: Cursor
    entry_ids: frozenset[EntryId]
    """The ids of all entries read, ``start`` and entries that are none of ours included."""
    entries: list[Entry]
    """The entries after ``start``, without the content of recalled messages."""
    end: Cursor
    is_last: bool
    """Whether the log held nothing beyond ``end``."""
    is_from_birth: bool
    """Whether it begins with the first entry that the log ever had."""
    traces: Sequence[str] = ()
    """The contexts of the traces of those entries that are traced."""

    def lacks(self, entry: EntryId) -> bool:
        """Whether ``entry`` is certainly not in the log: there are older and newer ones.

        Trimming removes only the oldest entries. So this is not the log that the entry came from: for
        example, a replica that had not received the entry has taken over.
        """
        is_within = any(entry_id < entry for entry_id in self.entry_ids) and entry <= self.end.entry
        return is_within and entry not in self.entry_ids

    def proves(self, point: Cursor) -> bool:
        """Whether everything that followed ``point``, up to ``end``, is here.

        This is so if the entry at ``point`` is still there, or the next possible one, since only the oldest
        entries are trimmed; or if ``point`` is the newest entry. A position of before the log's birth needs
        the whole log. No other position is proven: it is trimmed, of another epoch, or lost with a server.
        """
        if point.is_unborn:
            is_before_birth = self.is_from_birth and self.state.is_born_after(point)
            return is_before_birth or self.state.stays_unborn_since(point)
        if point.epoch != self.state.epoch:
            return False
        entry = point.entry
        return entry == self.state.last or entry in self.entry_ids or entry.following in self.entry_ids


def read(now: tuple[int, int], fields: Sequence[bytes | None]) -> LogState:
    """Read the replies of Redis to TIME, and to HMGET of `FIELDS`."""
    epoch, born, last, unborn_field = fields
    now_ms, unborn = now[0] * 1000 + now[1] // 1000, (unborn_field or b"").decode()
    if epoch is None or born is None or last is None:
        return LogState(unborn, ORIGIN, ORIGIN, now_ms, unborn)
    return LogState(epoch.decode(), EntryId.parse(born), EntryId.parse(last), now_ms, unborn)
