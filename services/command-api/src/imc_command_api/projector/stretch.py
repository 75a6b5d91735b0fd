"""Stretches of logs, and how they are cut into transactions; no I/O."""

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

from imc_contracts.cursor import EntryId
from imc_contracts.events import MalformedEvent, is_erased, read_entry, trace_of

from imc_command_api.store.changes import Row, row_of
from imc_command_api.store.projection import Position

TRANSACTION_ENTRIES = 1000
TRANSACTION_BYTES = 4 * 1024 * 1024


class LogEntry(NamedTuple):
    """An entry of a log. ``size``: bytes of its fields; ``row``: None if it is no event.

    ``trace``: the context of its trace, if it is traced.
    """

    id: bytes
    size: int
    row: Row | None
    fault: str
    """Why it is no event; reveals nothing of the content. Empty if it was one, and is erased."""
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries of one app's log, one after the other. ``after`` is the id of the one before.

    It has none if nothing follows, as after entries were removed by hand.
    """

    app_id: str
    epoch: bytes
    after: bytes
    entries: Sequence[LogEntry]
    asked_at: float = field(default_factory=time.monotonic, compare=False)
    """When the log was asked for it, in seconds of the monotonic clock."""

    @property
    def end(self) -> bytes:
        """The id of the last entry."""
        return self.entries[-1].id if self.entries else self.after

    @property
    def size(self) -> int:
        """Bytes of the entries."""
        return sum(entry.size for entry in self.entries)

    @property
    def position(self) -> Position | None:
        """How far the database is once it has all entries; None if it can store none of their ids."""
        for entry_id in chain((entry.id for entry in reversed(self.entries)), [self.after]):
            with contextlib.suppress(ValueError):
                return self.epoch.decode(), EntryId.parse(entry_id).column
        return None


def understand(app_id: str, entry_id: bytes, fields: dict[bytes, bytes]) -> LogEntry:
    """Read an entry as Redis returned it."""
    size = sum(len(name) + len(value) for name, value in fields.items())
    if is_erased(fields):
        return LogEntry(entry_id, size, None, "")
    try:
        return LogEntry(entry_id, size, row_of(app_id, read_entry(entry_id, fields)), "", trace_of(fields))
    except MalformedEvent as error:
        return LogEntry(entry_id, size, None, str(error))


def transactions_of(stretches: Sequence[Stretch]) -> Generator[list[Stretch]]:
    """Distribute stretches over transactions. Long ones would hold locks and block the event loop."""
    part: list[Stretch] = []
    count = size = 0
    for stretch in stretches:
        begin, after = 0, stretch.after
        for at, entry in enumerate(stretch.entries):
            if count and (count == TRANSACTION_ENTRIES or size + entry.size > TRANSACTION_BYTES):
                if at > begin:
                    part.append(replace(stretch, after=after, entries=stretch.entries[begin:at]))
                    begin, after = at, part[-1].end
                yield part
                part, count, size = [], 0, 0
            count, size = count + 1, size + entry.size
        part.append(replace(stretch, after=after, entries=stretch.entries[begin:]))
    if part:
        yield part
