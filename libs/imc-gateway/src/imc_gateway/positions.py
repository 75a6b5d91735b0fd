"""The position of a gateway: a cursor, and the time of the newest message until there. No I/O."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Position:
    """Where a gateway is in the log of its app.

    ``newest`` is the ``createTime`` of the newest message that it got, in ms. After a gap the history is read
    from a little before it.
    """

    cursor: str | None = None
    newest: int = 0

    def after(self, cursor: str, newest: int = 0) -> "Position":
        """The position after an event with this cursor, of a message of that time."""
        return replace(self, cursor=cursor, newest=max(self.newest, newest))

    def text(self) -> str:
        """As a store keeps it."""
        return f"{self.newest} {self.cursor or ''}"

    @classmethod
    def read(cls, text: str | None) -> "Position":
        """What `text` has written; a text that is none is no position at all. Raises `ValueError`."""
        if not text:
            return cls()
        newest, separator, cursor = text.partition(" ")
        if not separator or not newest.isdecimal():
            raise ValueError(
                "the store holds what is no position of a gateway; empty it, and history is lost"
            )
        return cls(cursor or None, int(newest))
