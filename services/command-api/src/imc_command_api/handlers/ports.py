"""What the handlers need from outside. Each port states its guarantee, its order and what is atomic.

The types in their signatures are defined here too. Implementations import this module, never the reverse.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused
from imc_contracts.events import Entry, Event, EventKind, RecallMark
from imc_contracts.views import Message, Notice

Apps = frozenset[str] | None
"""The apps in which something is looked up, or None for all."""

RETIRING = (EventKind.MESSAGE_RECALLED, EventKind.NOTICE_DELETED, EventKind.ERASURE)
"""The kinds of events that take something back."""


class IdsUnavailable(Exception):
    """No id can be made at this time."""


class Ids(Protocol):
    """Makes the ids of messages and notices.

    Guarantee: no id is made twice, by any process at any time. Order: each id is greater than all that this
    process made before.
    """

    def next(self) -> int:
        """A new id; raises `IdsUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Sending:
    """What the log remembers of the first send with a ``clientMessageId``, of a message or of a notice."""

    client_message_id: str
    id: int
    create_time: int
    digest: str
    """Equal for sends with the same payload."""


@dataclass(frozen=True, slots=True)
class Recall:
    """How replays of the log mask a recalled message; ``sent_at`` is its createTime."""

    sent_at: int
    mark: RecallMark


class Write(NamedTuple):
    """One event to append. ``id`` is that of the message or notice that the event is about.

    ``trace`` is the context of its trace, if it is traced.
    """

    event: Event
    id: int
    sending: Sending | None = None
    recall: Recall | None = None
    trace: str | None = None

    @property
    def is_retiring(self) -> bool:
        """Whether the event takes something back: a recall, a deletion or an erasure."""
        return self.event.kind in RETIRING


class Appended(NamedTuple):
    """The event is in the log. ``cursor_text`` is its cursor as clients see it."""

    cursor_text: str

    @property
    def cursor(self) -> Cursor:
        """The position of the event."""
        return Cursor.parse(self.cursor_text)


@dataclass(frozen=True, slots=True)
class Repeated:
    """Nothing was appended: the ``clientMessageId`` was used before, by the send ``original``."""

    original: Sending
    cursor_text: str

    @property
    def cursor(self) -> Cursor:
        """The position of the first send's event."""
        return Cursor.parse(self.cursor_text)


@dataclass(frozen=True, slots=True)
class AlreadyRetired:
    """Nothing was appended: the message was recalled, or the notice deleted, before."""


Outcome = Appended | Repeated | AlreadyRetired


class Log(Protocol):
    """The logs of all apps.

    Guarantee: an event with the outcome `Appended` is in the app's log, was published, and will be projected.
    An id is retired at most once. A ``clientMessageId`` is used at most once while it is remembered.

    Order: the events of one call keep their order in the log. They follow those of earlier calls for the app.

    Atomicity: an event is appended, published and remembered as a whole, or not at all. The events of one
    call are not one unit: some may be refused, or fail, while others are appended.
    """

    async def append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        """Append events in the given order; an outcome or a refusal for each."""
        ...

    async def append_one(self, app_id: str, write: Write) -> Outcome:
        """Append one event; raises `Refused`. If its code is `INTERNAL`, the event may have been appended."""
        ...


class Lookup(Protocol):
    """Finds messages and notices, in the log or in the database.

    Guarantee: what was acknowledged is found from then on, while log and database are reachable; a message in
    several apps or in all of them only within the recall window. What belongs to an app that is not asked for
    is not found, and takes as long as what does not exist.
    """

    async def message(self, message_id: int, apps: Apps) -> Message:
        """The message; raises `Refused`: not found, recalled already, or log or database out of reach."""
        ...

    async def notice(self, information_id: int, apps: Apps) -> Notice:
        """The notice; raises `Refused`: not found, deleted already, or log or database out of reach."""
        ...


class Admission(Protocol):
    """Refuses apps that are suspended, or known to have used up their quota.

    It does so before ids and encoding are spent on them. About quotas the log decides; this saves work.
    """

    def require(self, app_id: str) -> None:
        """Raise `Refused` if the app may not send now."""
        ...


class WriteThrough(Protocol):
    """Applies an appended event to the database before its command is acknowledged.

    Guarantee: if the database answers, the event can be read when this returns. Otherwise the projector
    applies it later, from the log. Order: events may come in any order, and repeatedly. Atomicity: an event
    is applied as a whole.
    """

    async def __call__(self, app_id: str, entry: Entry) -> None:
        """Apply the event; never raises. What was erased since it was appended does not come back."""
        ...
