"""Places in an app's log: the entry ids that Redis gives, and the cursors that gateways keep."""

import re
from typing import NamedTuple

# No more digits than `EntryId.column` has room for: 13 of milliseconds last until the year 2286.
_MS_DIGITS, _SEQ_DIGITS = 13, 10
_CURSOR = re.compile(r"([a-z0-9]{1,32})\.([0-9]{1,13}-[0-9]{1,10})", re.ASCII)

_LAST_SEQ = 9_999_999_999

UNBORN = "u"
"""How the lineage of a log that holds nothing yet begins; with its first entry it gets one in hexadecimal."""


class EntryId(NamedTuple):
    """The id of a log entry: ms of the log's clock, and a number within them. Sorts as the log does."""

    ms: int
    seq: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"

    @classmethod
    def parse(cls, text: str | bytes) -> "EntryId":
        """Read ``"ms-seq"``; raises `ValueError` for anything else."""
        # By hand: every push comes through here, and a regular expression takes three times as long.
        ascii_ = text if isinstance(text, bytes) else text.encode("ascii", "replace")
        ms, _, seq = ascii_.partition(b"-")
        if not (ms.isdigit() and seq.isdigit() and len(ms) <= _MS_DIGITS and len(seq) <= _SEQ_DIGITS):
            raise ValueError("not an id of a log entry")
        return cls(int(ms), int(seq))

    @property
    def following(self) -> "EntryId":
        """The next id: no entry can lie between."""
        return EntryId(self.ms, self.seq + 1) if self.seq < _LAST_SEQ else EntryId(self.ms + 1, 0)

    @property
    def preceding(self) -> "EntryId":
        """The id of which this is the `following`; `ORIGIN` has none."""
        return EntryId(self.ms, self.seq - 1) if self.seq else EntryId(self.ms - 1, _LAST_SEQ)

    @property
    def column(self) -> str:
        """The id as the database holds it: fixed-width hexadecimal, so that text sorts as the log does."""
        return f"{self.ms:011x}{self.seq:09x}"

    @classmethod
    def from_column(cls, text: str) -> "EntryId":
        """The inverse of `column`."""
        return cls(int(text[:11], 16), int(text[11:], 16))


ORIGIN = EntryId(0, 0)
"""Before every entry."""


class Cursor(NamedTuple):
    """A place in one lineage of a log. Its text is opaque to gateways."""

    lineage: str
    entry: EntryId

    def __str__(self) -> str:
        return cursor_text(self.lineage, str(self.entry))

    @property
    def is_unborn(self) -> bool:
        """Whether it was taken before the log held anything: ``entry`` is a moment of the log's clock."""
        return self.lineage.startswith(UNBORN)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor that a gateway offers; raises `ValueError` if it is none."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise ValueError("not a cursor")
        return cls(match[1], EntryId.parse(match[2]))


def cursor_text(lineage: str, entry: str) -> str:
    """The text of a cursor at the entry whose id is ``entry``, for those who need not read that id."""
    return f"{lineage}.{entry}"
