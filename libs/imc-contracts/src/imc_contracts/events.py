"""The events of a log, of five kinds.

The body of an event is the view that gateways get, as JSON, so that a push-node can push it without parsing.
The constructors here fix the fields of new events. Readers ignore unknown fields, so that old and new
processes can run side by side.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from imc_contracts.cursor import EntryId
from imc_contracts.views import Erasure, Message, Notice

KIND_FIELD = b"k"
BODY_FIELD = b"v"
TRACE_FIELD = b"t"
"""The context of the trace of a message, as in a ``traceparent`` header; only in entries that are traced."""

ERASED_FIELDS = {KIND_FIELD: b"x"}
"""The fields of an entry that was erased. It keeps its place in the log, so that positions stay valid."""


class EventKind(bytes, Enum):
    """The kind of an event, as the log spells it."""

    MESSAGE_SENT = b"s"
    MESSAGE_RECALLED = b"r"
    NOTICE_PUBLISHED = b"p"
    NOTICE_DELETED = b"d"
    ERASURE = b"e"
    """What a user wrote, a group or the whole app is erased, as far as it is before this entry."""

    is_notice: bool
    """Whether only gateways that asked for notices get it."""

    def __init__(self, spelling: bytes) -> None:
        self.is_notice = spelling in (b"p", b"d")

    # The hash of Enum is written in Python, which is slow for the lookup in every push.
    __hash__ = bytes.__hash__


class MalformedEvent(Exception):
    """A log entry that is not a known event, for example one written by hand or by a newer version."""


class Event(NamedTuple):
    """An event that has no log id yet. ``body`` is JSON without line breaks."""

    kind: EventKind
    body: bytes

    def at(self, entry_id: EntryId) -> "Entry":
        """The event as a log entry with this id."""
        return Entry(str(entry_id).encode(), self.kind, self.body)


class Entry(NamedTuple):
    """A log entry. ``id_text`` is its id as the log writes it, which is enough for a push."""

    id_text: bytes
    kind: EventKind
    body: bytes

    @property
    def id(self) -> EntryId:
        """The parsed id."""
        return EntryId.parse(self.id_text)

    @property
    def group_id(self) -> str | None:
        """The group that the event is of; None if everybody has to be told of it.

        An erasure is for everybody: a gateway may keep what it got of a group that it does not hold any more.
        """
        return None if self.kind is EventKind.ERASURE else group_of(self.body)


class LiveBatch(NamedTuple):
    """The entries that one append published, in order. ``prev`` is the id of the entry before them.

    ``traces``: the contexts of the traces of those that are traced.
    """

    epoch: str
    prev: EntryId
    entries: list[Entry]
    traces: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RecallMark:
    """The data with which a replay masks a recalled message."""

    message_id: str
    recall_time: int
    recall_cause: str | None

    def encode(self) -> bytes:
        """The mark as a member of the set of recalled messages."""
        return orjson.dumps([self.message_id, self.recall_time, self.recall_cause])

    @classmethod
    def read(cls, member: bytes) -> "RecallMark":
        """The inverse of `encode`."""
        message_id, recall_time, recall_cause = orjson.loads(member)
        return cls(message_id, recall_time, recall_cause)


_KINDS = {kind.value: kind for kind in EventKind}
# One search for all lines, since this is on the hot path of pushes. Digits are limited as in `EntryId`.
_PUBLISHED = re.compile(rb"^([0-9]{1,13}-[0-9]{1,10}) ([srpde]) (.*)", re.MULTILINE)
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
# In a body that orjson has written this is a key: within a string its quotes would be escaped.
_GROUP_ID = re.compile(rb'"groupId":"([^"\\]*)"')
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)
_ERASURE: TypeAdapter[Erasure] = TypeAdapter(Erasure)


def message_sent(message: Message) -> Event:
    """The event of a new message."""
    return Event(EventKind.MESSAGE_SENT, orjson.dumps(message))


def message_recalled(message: Message) -> Event:
    """The event of a recall. ``message`` must be the recalled message, without content."""
    return Event(EventKind.MESSAGE_RECALLED, orjson.dumps(message))


def notice_published(notice: Notice) -> Event:
    """The event of a new notice."""
    return Event(EventKind.NOTICE_PUBLISHED, orjson.dumps(notice))


def notice_deleted(notice: Notice) -> Event:
    """The event of a deleted notice."""
    return Event(EventKind.NOTICE_DELETED, orjson.dumps(notice))


def erasure(subject: Erasure) -> Event:
    """The event that erases ``subject``."""
    return Event(EventKind.ERASURE, orjson.dumps(subject))


def is_erased(fields: Mapping[bytes, bytes]) -> bool:
    """Whether these are the fields of an entry that was erased."""
    return fields.get(KIND_FIELD) == ERASED_FIELDS[KIND_FIELD]


def read_entry(entry_id: bytes | str, fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry as Redis returns it.

    Raises `MalformedEvent` if it is no known event, or has an id that can't be stored.
    """
    try:
        event = Event(EventKind(fields[KIND_FIELD]), fields[BODY_FIELD])
    except (KeyError, ValueError) as error:
        raise MalformedEvent("the entry has no known kind or no body") from error
    try:
        return event.at(EntryId.parse(entry_id))
    except ValueError as error:
        raise MalformedEvent("the entry has an id that no table can hold") from error


def trace_of(fields: Mapping[bytes, bytes]) -> str | None:
    """The context of the trace of an entry as Redis returns it; None if it is not traced."""
    trace = fields.get(TRACE_FIELD)
    return None if trace is None else trace.decode("ascii", "replace")


def read_message(body: bytes) -> Message:
    """Parse the message in the body of an event. Raises `MalformedEvent`."""
    try:
        return _MESSAGE.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedEvent(f"the body is no message: {error.error_count()} fields at fault") from None


def read_notice(body: bytes) -> Notice:
    """Parse the notice in the body of an event. Raises `MalformedEvent`."""
    try:
        return _NOTICE.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedEvent(f"the body is no notice: {error.error_count()} fields at fault") from None


def read_erasure(body: bytes) -> Erasure:
    """Parse the erasure in the body of an event. Raises `MalformedEvent`."""
    try:
        return _ERASURE.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedEvent(f"the body is no erasure: {error.error_count()} fields at fault") from None


def group_of(body: bytes) -> str | None:
    """The groupId in the body of an event; None if it has none.

    A body is not parsed for it, unless it spells its groupId with escapes.
    """
    found = _GROUP_ID.search(body)
    try:
        group_id = orjson.loads(body).get("groupId") if found is None else found[1].decode()
    except (ValueError, AttributeError):
        return None  # written by hand: it is no JSON object, or not UTF-8
    return group_id if isinstance(group_id, str) else None


def read_live_batch(payload: bytes) -> LiveBatch:
    """Parse a published batch: a line ``epoch prev``, then a line ``id kind body`` for each entry.

    The contexts of traces follow in the first line, if there are any. JSON bodies have no raw line breaks, so
    that lines need no escaping.
    Raises `MalformedEvent` for anything else.
    """
    head, _, lines = payload.partition(b"\n")
    try:
        epoch, prev, *traces = head.decode("ascii").split(" ")
        batch = LiveBatch(epoch, EntryId.parse(prev), _read_lines(lines), tuple(traces))
        if not all(map(_TRACE.fullmatch, traces)):
            raise ValueError("what follows is no context of a trace")
    except ValueError as error:
        raise MalformedEvent("not a published batch") from error
    if len(batch.entries) != payload.count(b"\n"):
        raise MalformedEvent("not a published batch")
    return batch


def _read_lines(lines: bytes) -> list[Entry]:
    """The entries of all well-formed lines."""
    return [Entry(id_text, _KINDS[kind], body) for id_text, kind, body in _PUBLISHED.findall(lines)]
