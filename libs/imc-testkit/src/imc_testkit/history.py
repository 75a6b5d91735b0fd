"""The record of a run: requests with their results, and the frames that each gateway received.

Contents are unique, and stored as digests. Times are seconds of one monotonic clock.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any


class Answer(StrEnum):
    """The result of a request, as its sender knows it."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """It certainly did not happen."""
    UNKNOWN = "unknown"
    """There was no reply, or one that leaves the result open."""


@dataclass
class Attempt:
    """One attempt to send a message."""

    via: str
    began: float
    answer: Answer = Answer.UNKNOWN
    ended: float | None = None
    message_id: str | None = None
    cursor: str | None = None


@dataclass
class Send:
    """A message that a client wants to send. Only one with a ``clientMessageId`` is attempted twice."""

    app_id: str
    group_id: str
    digest: str
    client_message_id: str | None = None
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    user_id: str = "user"

    @property
    def answer(self) -> Answer:
        """The result over all attempts: one acknowledgement decides; a refusal does not undo an unknown."""
        answers = {attempt.answer for attempt in self.attempts}
        for answer in (Answer.ACKNOWLEDGED, Answer.UNKNOWN):
            if answer in answers:
                return answer
        return Answer.REFUSED

    @property
    def acknowledged_ids(self) -> set[str]:
        """The message ids of its acknowledgements. More than one is a fault."""
        return {attempt.message_id for attempt in self.attempts if attempt.message_id is not None}


@dataclass
class Recall:
    """One attempt to recall a message."""

    app_id: str
    message_id: str
    began: float
    answer: Answer = Answer.UNKNOWN
    ended: float | None = None


@dataclass
class Erasing:
    """An acknowledged erasure: of a user, of a group, or if both are None of an app, up to ``cursor``."""

    app_id: str
    erasure_id: str
    cursor: str
    user_id: str | None = None
    group_id: str | None = None

    def concerns(self, send: Send) -> bool:
        """Whether a message is of what is erased, if it came before."""
        if send.app_id != self.app_id:
            return False
        return self.user_id in (None, send.user_id) and self.group_id in (None, send.group_id)


@dataclass
class Seen:
    """A message as a query returned it; ``asked`` is when the query began."""

    app_id: str
    message_id: str
    digest: str
    asked: float


@dataclass
class Frame:
    """A received frame.

    2000 sets ``recovered``, 4002 ``gap_from``, 2006 the id of the erasure, 2007 ``groups``, pushes the rest.
    """

    code: int
    at: float
    cursor: str
    """The frame's cursor; for 4002 the end of the gap."""
    recovered: bool = False
    gap_from: str = ""
    message_id: str = ""
    app_id: str = ""
    digest: str = ""
    status: int = 1
    groups: tuple[str, ...] = ()
    """What the gateway holds from the cursor on."""


@dataclass
class Connection:
    """One connection of a gateway. With ``offered``, a cursor, it resumes the previous connection."""

    app_id: str
    gateway_id: str
    node: int
    offered: str | None
    began: float
    frames: list[Frame] = field(default_factory=list[Frame])
    close_code: int | None = None
    is_caught_up: bool = False
    """Whether it was open at the end of the run and must have received everything."""
    lists_groups: bool = False
    """Whether it gets only the events of groups that it lists."""


@dataclass(frozen=True)
class Row:
    """A row of the message table; log ids have the format of `EntryId.column`."""

    message_id: str
    app_id: str
    digest: str
    status: int
    log_id: str | None
    last_log_id: str | None
    group_id: str = ""


@dataclass(frozen=True)
class Group:
    """A row of the table of groups."""

    app_id: str
    group_id: str
    total: int
    newest_id: str


def digest(content: str) -> str:
    """The digest that stands for a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


NO_CONTENT = digest("")


@dataclass
class History:
    """The history of a run. The seed makes its load repeatable; the timing of faults is not."""

    seed: int
    sends: list[Send] = field(default_factory=list[Send])
    acknowledgements: int = 0
    """How many attempts were acknowledged so far."""
    recalls: list[Recall] = field(default_factory=list[Recall])
    erasures: list[Erasing] = field(default_factory=list[Erasing])
    """All of them are done when the run is checked."""
    seen: list[Seen] = field(default_factory=list[Seen])
    connections: list[Connection] = field(default_factory=list[Connection])
    database_outages: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From when to when: a recall acknowledged in between shows in queries later."""
    masters_are_replaced: bool = False
    """Whether replicas take over, so that sends without an answer may be pushed and then be lost."""
    due: set[str] = field(default_factory=set[str])
    """The ids of messages that a policy does not keep any more: their rows may be gone."""
    notes: list[str] = field(default_factory=list[str])
    """What was done to the installation and when, for people to read."""

    @property
    def refusals(self) -> int:
        """How many attempts were refused so far."""
        return sum(attempt.answer is Answer.REFUSED for send in self.sends for attempt in send.attempts)

    def copy(self) -> "History":
        """The history up to now; frames that come later are not in it."""
        connections = [replace(each, frames=list(each.frames)) for each in self.connections]
        return replace(self, connections=connections)

    def save(self, path: Path, rows: list[Row]) -> None:
        """Write the history as JSON lines; the field ``record`` tells the kind."""
        parts: dict[str, list[Any]] = {
            "send": self.sends,
            "recall": self.recalls,
            "erasure": self.erasures,
            "seen": self.seen,
            "connection": self.connections,
            "row": list(rows),
        }
        with path.open("w") as file:
            for line in (
                {"record": "seed", "seed": self.seed},
                *({"record": "note", "text": note} for note in self.notes),
                *({"record": name, **asdict(item)} for name, items in parts.items() for item in items),
            ):
                file.write(json.dumps(line, default=str) + "\n")
