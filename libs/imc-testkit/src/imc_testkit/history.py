"""What was sent and answered, and what each gateway was pushed: the record that a run is judged by.

Contents are unique, and kept as digests. Times are seconds of one monotonic clock.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Answer(StrEnum):
    """What became of a request, as far as its sender was told."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """It happened for certain not."""
    UNKNOWN = "unknown"
    """No answer, or one that leaves it open."""


@dataclass
class Attempt:
    """One try of a send."""

    via: str
    began: float
    answer: Answer = Answer.UNKNOWN
    ended: float | None = None
    message_id: str | None = None
    cursor: str | None = None


@dataclass
class Send:
    """A message that a client wanted to send; it tries more than once only with an id of its own."""

    app_id: str
    group_id: str
    digest: str
    client_message_id: str | None = None
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    @property
    def answer(self) -> Answer:
        """What is known in the end: an acknowledgement settles it, a refusal settles no unknown end."""
        answers = {attempt.answer for attempt in self.attempts}
        for answer in (Answer.ACKNOWLEDGED, Answer.UNKNOWN):
            if answer in answers:
                return answer
        return Answer.REFUSED

    @property
    def acknowledged_ids(self) -> set[str]:
        """The message ids that its acknowledgements named: more than one is a fault."""
        return {attempt.message_id for attempt in self.attempts if attempt.message_id is not None}


@dataclass
class Recall:
    """One try to recall a message."""

    app_id: str
    message_id: str
    began: float
    answer: Answer = Answer.UNKNOWN
    ended: float | None = None


@dataclass
class Seen:
    """A message as a query showed it."""

    app_id: str
    message_id: str
    digest: str
    asked: float


@dataclass
class Frame:
    """A frame: 2000 has ``recovered``, 2001 and 2002 have ``message_id`` and on, 4002 has ``gap_from``."""

    code: int
    at: float
    cursor: str
    """Of a 4002: where it goes on from."""
    recovered: bool = False
    gap_from: str = ""
    message_id: str = ""
    app_id: str = ""
    digest: str = ""
    status: int = 1


@dataclass
class Connection:
    """One connection of a gateway. With ``offered`` it goes on from the gateway's one before."""

    app_id: str
    gateway_id: str
    node: int
    offered: str | None
    began: float
    frames: list[Frame] = field(default_factory=list[Frame])
    close_code: int | None = None
    is_caught_up: bool = False
    """It was open, and told of everything, when all had settled."""


@dataclass(frozen=True)
class Row:
    """A row of the table of messages; the places are `EntryId.column`."""

    message_id: str
    app_id: str
    digest: str
    status: int
    log_id: str | None
    last_log_id: str | None


def digest(content: str) -> str:
    """What stands for a content."""
    return hashlib.sha256(content.encode()).hexdigest()[:16]


NO_CONTENT = digest("")


@dataclass
class History:
    """A run. The seed brings it about again, as far as faults let themselves be repeated."""

    seed: int
    sends: list[Send] = field(default_factory=list[Send])
    acknowledgements: int = 0
    """How many attempts were acknowledged so far."""
    recalls: list[Recall] = field(default_factory=list[Recall])
    seen: list[Seen] = field(default_factory=list[Seen])
    connections: list[Connection] = field(default_factory=list[Connection])
    database_away: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When it was: a recall that is acknowledged meanwhile shows in queries only later."""
    notes: list[str] = field(default_factory=list[str])
    """What was done to the processes, and when, for people."""

    @property
    def refusals(self) -> int:
        """How many attempts were refused so far."""
        return sum(attempt.answer is Answer.REFUSED for send in self.sends for attempt in send.attempts)

    def save(self, path: Path, rows: list[Row]) -> None:
        """Write it as JSON lines, each with its ``record``."""
        parts: dict[str, list[Any]] = {
            "send": self.sends,
            "recall": self.recalls,
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
