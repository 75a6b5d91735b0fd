"""What erasures have removed, as far as a history tells. Part of the checker."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from imc_contracts.cursor import Cursor, EntryId

from imc_testkit.history import History, Row

MESSAGE = 2001


@dataclass
class Gone:
    """The ids of messages that erasures concern."""

    certain: set[str] = field(default_factory=set[str])
    """They came before the erasure, and must be nowhere."""
    possible: set[str] = field(default_factory=set[str])
    """They may have come before it or after it: nothing tells their place in the log."""

    def __contains__(self, message_id: str) -> bool:
        """Whether it may have no row."""
        return message_id in self.certain or message_id in self.possible


def gone_from(history: History, rows: Sequence[Row]) -> Gone:
    """What the erasures of a run have removed."""
    gone = Gone()
    if not history.erasures:
        return gone
    places = _places(history, rows)
    pushed = {frame.message_id: frame.digest for each in history.connections for frame in each.frames}
    by_digest: dict[str, set[str]] = {}
    for message_id, digest in pushed.items():
        by_digest.setdefault(digest, set()).add(message_id)
    for erasure in history.erasures:
        end = Cursor.parse(erasure.cursor).entry
        for send in filter(erasure.concerns, history.sends):
            for message_id in send.acknowledged_ids | by_digest.get(send.digest, set()):
                place = places.get(message_id)
                if place is None:
                    gone.possible.add(message_id)
                elif place < end:
                    gone.certain.add(message_id)
    return gone


def _places(history: History, rows: Sequence[Row]) -> dict[str, EntryId]:
    """Where each message is in its log."""
    places = {row.message_id: EntryId.from_column(row.log_id) for row in rows if row.log_id is not None}
    for send in history.sends:
        for attempt in send.attempts:
            if attempt.message_id is not None and attempt.cursor is not None:
                places[attempt.message_id] = Cursor.parse(attempt.cursor).entry
    for connection in history.connections:
        for frame in connection.frames:
            if frame.code == MESSAGE:
                places[frame.message_id] = Cursor.parse(frame.cursor).entry
    return places
