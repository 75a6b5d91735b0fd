"""Positions in an app's log: entry ids, which Redis assigns, and cursors, which gateways keep."""

import re
from typing import NamedTuple

# At most as many digits as `EntryId.column` can store. 13 digits of milliseconds last until the year 2286.
_MS_DIGITS, _SEQ_DIGITS = 13, 10
_CURSOR = re.compile(r"([a-z0-9]{1,32})\.([0-9]{1,13}-[0-9]{1,10})", re.ASCII)

_LAST_SEQ = 9_999_999_999

UNBORN = "u"
"""The prefix of the epoch of a log without entries. With its first entry it gets a hexadecimal one."""


class EntryId(NamedTuple):
    """The id of a log entry: milliseconds, and a sequence number within them. Sorts in log order."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: str | bytes) -> "EntryId":
        """Parse ``"ms-seq"``. Raises `ValueError` for anything else."""
        # On the hot path of pushes: a regular expression takes three times as long.
        ascii_ = text if isinstance(text, bytes) else text.encode("ascii", "replace")
        ms, _, seq = ascii_.partition(b"-")
        if not (ms.isdigit() and seq.isdigit() and len(ms) <= _MS_DIGITS and len(seq) <= _SEQ_DIGITS):
            raise ValueError("not an id of a log entry")
        return cls(int(ms), int(seq))

    @property
    def following(self) -> "EntryId":
        """The next possible id."""
        return EntryId(self.ms, self.seq + 1) if self.seq < _LAST_SEQ else EntryId(self.ms + 1, 0)

    @property
    def preceding(self) -> "EntryId":
        """The previous possible id. `ORIGIN` has none."""
        return EntryId(self.ms, self.seq - 1) if self.seq else EntryId(self.ms - 1, _LAST_SEQ)

    @property
    def column(self) -> str:
        """The id in the database: hexadecimal of fixed width, so that the text sorts in log order."""
        return f"{self.ms:011x}{self.seq:09x}"

    @classmethod
    def from_column(cls, text: str) -> "EntryId":
        """The inverse of `column`."""
        return cls(int(text[:11], 16), int(text[11:], 16))


ORIGIN = EntryId(0, 0)
"""The id before all entries."""


class Cursor(NamedTuple):
    """A position in one epoch of a log. Its text is opaque to gateways."""

    epoch: str
    entry: EntryId

    def __str__(self) -> str:
        return cursor_text(self.epoch, str(self.entry))

    @property
    def is_unborn(self) -> bool:
        """Whether it was taken before the log had an entry. ``entry`` is then a time, not an entry."""
        return self.epoch.startswith(UNBORN)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Parse a cursor from a gateway. Raises `ValueError` if it is malformed."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise ValueError("not a cursor")
        return cls(match[1], EntryId.parse(match[2]))


def cursor_text(epoch: str, entry: str) -> str:
    """The text of a cursor at the entry with the id ``entry``, without parsing the id."""
    return f"{epoch}.{entry}"
