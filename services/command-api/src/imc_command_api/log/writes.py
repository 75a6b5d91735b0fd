"""What the log's writer is asked to append, and what became of it."""

from dataclasses import dataclass
from typing import NamedTuple

from imc_contracts.cursor import Cursor, cursor_text
from imc_contracts.events import Event, EventKind, RecallMark


@dataclass(frozen=True, slots=True)
class Sending:
    """What a ``clientMessageId`` is remembered with: it makes a repeated send one message."""

    client_message_id: str
    message_id: int
    create_time: int
    digest: str
    """Tells whether a repeated send is the same message."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What replays of the log are told of a recalled message, and when it was sent, in Unix milliseconds."""

    sent_at: int
    mark: RecallMark


class Write(NamedTuple):
    """One event to append.

    ``id`` is that of the message or notice that the event is about. An event that retires it (a recall, a
    deletion) is appended at most once for an id.
    """

    event: Event
    id: int
    sending: Sending | None = None
    recall: Recall | None = None

    @property
    def is_retiring(self) -> bool:
        """Whether the event takes something back."""
        return self.event.kind in (EventKind.MESSAGE_RECALLED, EventKind.NOTICE_DELETED)


class Appended(NamedTuple):
    """The event is in the log. ``place`` is the text of its cursor: those who send need no more."""

    place: str

    @property
    def cursor(self) -> Cursor:
        """Where the event is."""
        return Cursor.parse(self.place)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing was appended: the ``clientMessageId`` had been sent before, as ``original``."""

    original: Sending
    place: str

    @property
    def cursor(self) -> Cursor:
        """Where the event of the first send is."""
        return Cursor.parse(self.place)


@dataclass(frozen=True, slots=True)
class AlreadyRetired:
    """Nothing was appended: the message was recalled, or the notice deleted, before."""


Outcome = Appended | Repeated | AlreadyRetired


def read_outcome(epoch: str, result: str, write: Write) -> Outcome:
    """Read what the append script says of one event."""
    if result == "x":
        return AlreadyRetired()
    if not result.startswith("="):
        return Appended(cursor_text(epoch, result))
    assert write.sending is not None
    message_id, create_time, digest, entry = result[1:].split(" ")
    original = Sending(write.sending.client_message_id, int(message_id), int(create_time), digest)
    return Repeated(original, cursor_text(epoch, entry))


def receipt_of(sending: Sending) -> str:
    """A send as the append script remembers it; `read_outcome` is the inverse."""
    return f"{sending.message_id} {sending.create_time} {sending.digest}"
