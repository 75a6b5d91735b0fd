"""What the log holds: the four things that can happen to an app.

An event's body is the view that gateways get, as JSON, so that a push-node frames it without reading it.
Where events are made their shape is fixed by these constructors; where they are read, fields unknown to
the reader are ignored, or old and new processes could not run side by side.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from imc_contracts.cursor import EntryId
from imc_contracts.views import Message, Notice

KIND_FIELD = b"k"
BODY_FIELD = b"v"


class EventKind(bytes, Enum):
    """The kind of an event, as the log spells it."""

    MESSAGE_SENT = b"s"
    MESSAGE_RECALLED = b"r"
    NOTICE_PUBLISHED = b"p"
    NOTICE_DELETED = b"d"

    is_notice: bool
    """Whether only gateways that asked for notices are told."""

    def __init__(self, spelling: bytes) -> None:
        self.is_notice = spelling in (b"p", b"d")

    # That of Enum is written in Python, and every push looks its kind up.
    __hash__ = bytes.__hash__


class MalformedEvent(Exception):
    """A log entry that is none of ours: written by hand, or by a version unknown to this one."""


class Event(NamedTuple):
    """One thing that happened, before it has a place in the log. ``body`` is JSON without line breaks."""

    kind: EventKind
    body: bytes

    def at(self, entry_id: EntryId) -> "Entry":
        """The event as the entry ``entry_id``."""
        return Entry(str(entry_id).encode(), self.kind, self.body)


class Entry(NamedTuple):
    """An event at its place in the log. ``place`` is the text of its id: a push needs no more."""

    place: bytes
    kind: EventKind
    body: bytes

    @property
    def id(self) -> EntryId:
        """Where it is."""
        return EntryId.parse(self.place)


class LiveBatch(NamedTuple):
    """What one append published: its entries in order, and the place before them."""

    lineage: str
    prev: EntryId
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class RecallMark:
    """What a replay needs to know of a recalled message, so that it shows no content of it."""

    message_id: str
    recall_time: int
    recall_cause: str | None

    def encode(self) -> bytes:
        """The member of the set of recalled messages."""
        return orjson.dumps([self.message_id, self.recall_time, self.recall_cause])

    @classmethod
    def read(cls, member: bytes) -> "RecallMark":
        """The inverse of `encode`."""
        message_id, recall_time, recall_cause = orjson.loads(member)
        return cls(message_id, recall_time, recall_cause)


_KINDS = {kind.value: kind for kind in EventKind}
# All lines in one search, since every push of every node comes through here. No digits beyond `EntryId`'s.
_PUBLISHED = re.compile(rb"^([0-9]{1,13}-[0-9]{1,10}) ([srpd]) (.*)", re.MULTILINE)
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)
_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


def message_sent(message: Message) -> Event:
    """The message is new."""
    return Event(EventKind.MESSAGE_SENT, orjson.dumps(message))


def message_recalled(message: Message) -> Event:
    """The message was recalled; ``message`` shows it so, without content."""
    return Event(EventKind.MESSAGE_RECALLED, orjson.dumps(message))


def notice_published(notice: Notice) -> Event:
    """The notice is new."""
    return Event(EventKind.NOTICE_PUBLISHED, orjson.dumps(notice))


def notice_deleted(notice: Notice) -> Event:
    """The notice was taken down."""
    return Event(EventKind.NOTICE_DELETED, orjson.dumps(notice))


def read_entry(entry_id: bytes | str, fields: Mapping[bytes, bytes]) -> Entry:
    """Read an entry as Redis returns it; raises `MalformedEvent` if it is none of ours."""
    try:
        return Event(EventKind(fields[KIND_FIELD]), fields[BODY_FIELD]).at(EntryId.parse(entry_id))
    except (KeyError, ValueError) as error:
        raise MalformedEvent("the entry has no known kind or no body") from error


def read_message(body: bytes) -> Message:
    """The message in an event's body; raises `MalformedEvent` if there is none."""
    try:
        return _MESSAGE.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedEvent(f"the body is no message: {error.error_count()} fields at fault") from None


def read_notice(body: bytes) -> Notice:
    """The notice in an event's body; raises `MalformedEvent` if there is none."""
    try:
        return _NOTICE.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedEvent(f"the body is no notice: {error.error_count()} fields at fault") from None


def read_live_batch(payload: bytes) -> LiveBatch:
    """Read what an append publishes: a line ``lineage prev``, then a line ``id kind body`` for each entry.

    JSON bodies hold no raw line break, so that lines need no escaping.
    Raises `MalformedEvent` for anything else.
    """
    head, _, lines = payload.partition(b"\n")
    try:
        lineage, prev = head.decode("ascii").split(" ")
        batch = LiveBatch(lineage, EntryId.parse(prev), _read_lines(lines))
    except ValueError as error:
        raise MalformedEvent("not a published batch") from error
    if len(batch.entries) != payload.count(b"\n"):
        raise MalformedEvent("not a published batch")
    return batch


def _read_lines(lines: bytes) -> list[Entry]:
    """The entries of all lines that hold one."""
    return [Entry(place, _KINDS[kind], body) for place, kind, body in _PUBLISHED.findall(lines)]
