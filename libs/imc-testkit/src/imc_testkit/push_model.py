"""A simple model of what a gateway may be pushed. Each frame is checked against it when it is written.

The model keeps the position of each gateway. The next push must be the entry that follows that position in
the log. Only a 4002 moves the position elsewhere, and only where the log no longer knows what follows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from imc_contracts.cursor import ORIGIN, Cursor
from imc_contracts.events import EventKind, read_live_batch, read_message

CONNECTED, MESSAGE, RECALLED, REFUSED, GAP = 2000, 2001, 2002, 4000, 4002
JAVA_FIELDS = {"success", "code", "message", "data"}
GRACE_SECONDS = 1.0
"""Longer than reading the log takes: an entry read before a recall may be pushed after it."""


Push = tuple[int, str]
"""The code of a push, and the id of its message."""


@dataclass(frozen=True)
class Moment:
    """A point in time. ``turn`` grows with each event, ``seconds`` only when time passes."""

    turn: int
    seconds: float


NEVER = Moment(-1, float("-inf"))


@dataclass
class LogModel:
    """All entries that one app's log ever held, over all its epochs."""

    unborn: Callable[[], str]
    """Returns the epoch of positions taken before the current log had an entry; "" if there is none."""
    before: dict[Cursor, Cursor] = field(default_factory=dict[Cursor, Cursor])
    """For each entry the previous one. `ORIGIN` precedes the first entry of an epoch."""
    pushed_as: dict[tuple[int, str], list[Cursor]] = field(
        default_factory=dict[tuple[int, str], list[Cursor]]
    )
    """The entries of each push. A recall that was lost may come once more."""
    notices: set[Cursor] = field(default_factory=set[Cursor])
    contents: dict[str, str] = field(default_factory=dict[str, str])
    recalls: dict[str, tuple[Cursor, Moment]] = field(default_factory=dict[str, tuple[Cursor, Moment]])
    recalled: set[str] = field(default_factory=set[str])
    """Includes recalls that were lost later, since a read may be older than the loss."""
    forgotten: set[Cursor] = field(default_factory=set[Cursor])
    """Entries that were trimmed, or lost with a server."""
    end: Cursor | None = None
    """The newest entry, or None."""

    def take(self, payload: bytes, moment: Moment) -> None:
        """Add the entries of a published batch."""
        batch = read_live_batch(payload)
        prev = Cursor(batch.epoch, batch.prev)
        for entry in batch.entries:
            cursor = Cursor(batch.epoch, entry.id)
            assert cursor not in self.before, "two entries have one id"
            self.before[cursor] = prev
            self.end = prev = cursor
            if entry.kind.is_notice:
                self.notices.add(cursor)
                continue
            message = read_message(entry.body)
            code = MESSAGE if entry.kind is EventKind.MESSAGE_SENT else RECALLED
            self.pushed_as.setdefault((code, message["messageId"]), []).append(cursor)
            if code == MESSAGE:
                self.contents[message["messageId"]] = message["content"]
            else:
                assert message["messageId"] not in self.recalls, "recalled twice"
                self.recalls[message["messageId"]] = cursor, moment
                self.recalled.add(message["messageId"])

    def trim(self, cursors: set[Cursor]) -> None:
        """Mark entries as trimmed."""
        self.forgotten |= cursors

    def snapshot(self) -> "LogModel":
        """The state now, for `restore`."""
        return replace(self, recalls=dict(self.recalls), forgotten=set(self.forgotten))

    def restore(self, snapshot: "LogModel | None") -> None:
        """Mark what came after ``snapshot`` as lost, or everything if it is None."""
        self.end, self.recalls = (snapshot.end, dict(snapshot.recalls)) if snapshot else (None, {})
        kept: set[Cursor] = set()
        at = self.end
        while at is not None and at.entry != ORIGIN:
            kept.add(at)
            at = self.before[at]
        self.forgotten.clear()
        self.forgotten |= (self.before.keys() - kept) | (snapshot.forgotten if snapshot else set())

    def reaches(self, start: Cursor, end: Cursor | None, *, with_notices: bool) -> bool:
        """Whether there is nothing to push between the two positions."""
        if end is None:
            return start.epoch == self.unborn()
        while end != start and end in self.notices and not with_notices:
            end = self.before[end]
        return end == start or (start.epoch == self.unborn() and end.entry == ORIGIN)

    def knows_what_follows(self, point: Cursor) -> bool:
        """Whether the log still knows what follows ``point``: then no gap may be announced there."""
        if point.is_unborn:
            return point.epoch == self.unborn() and not self.forgotten
        is_of_this_log = self.end is not None and point.epoch == self.end.epoch
        return is_of_this_log and point in self.before and point not in self.forgotten


@dataclass
class ConnectionModel:
    """One connection of a gateway, as its frames describe it. Broken guarantees are added to ``faults``."""

    log: LogModel
    offered: Cursor | None
    with_notices: bool
    began: Moment
    published_at: Callable[[str], Moment]
    """When the node last received a message, by id, through Pub/Sub."""
    has_pushed: Callable[[Cursor], bool]
    """Whether the node has pushed everything up to an entry."""
    position: Cursor | None = None
    is_refused: bool = False
    awaits_gap: bool = False
    faults: list[str] = field(default_factory=list[str])

    def take(self, frame: dict[str, Any], moment: Moment) -> None:
        """Check a frame."""
        code = frame["code"]
        if code == REFUSED:
            self.is_refused = True
        elif code == CONNECTED:
            self._expect(self.position is None, "2000 twice")
            self._greet(frame)
        elif self.position is None:
            self.faults.append(f"{code} before 2000")
        elif code == GAP:
            self._jump(frame)
        else:
            self._push(self.position, frame, moment)

    def check_settled(self) -> None:
        """Check that everything in the log was pushed."""
        assert self.position is not None, "it never got its 2000"
        end = self.log.end
        is_there = self.log.reaches(self.position, end, with_notices=self.with_notices)
        assert is_there, f"the log ends at {end}, the gateway got pushes up to {self.position}"
        assert not self.awaits_gap, "not recovered, and no gap announced"

    def _greet(self, frame: dict[str, Any]) -> None:
        self.position = point = Cursor.parse(frame["cursor"])
        recovered = frame["recovered"]
        if self.offered is None:
            self._expect(not recovered, "recovered without a cursor")
        elif recovered:
            self._expect(point == self.offered, f"resumes from {point}, not from {self.offered}")
        else:
            self.awaits_gap = True

    def _jump(self, frame: dict[str, Any]) -> None:
        start, end = Cursor.parse(frame["data"]["from"]), Cursor.parse(frame["data"]["to"])
        if self.awaits_gap:
            self._expect(start == self.offered and end == self.position, "the gap has other bounds")
            self.awaits_gap = False
        else:
            here = self.position or start
            # All positions in a log without entries are the same.
            is_here = start.is_unborn and here.epoch == start.epoch
            is_here |= self.log.reaches(here, start, with_notices=self.with_notices)
            self._expect(is_here, f"a gap from {start}, but the last push was {self.position}")
        self._expect(not self.log.knows_what_follows(start), f"a gap after {start}, which the log still has")
        self.position = end

    def _push(self, position: Cursor, frame: dict[str, Any], moment: Moment) -> None:
        code, cursor, data = frame["code"], self._cursor_of(position, frame), frame["data"]
        self._expect(not self.awaits_gap, "pushes before the gap is announced")
        if cursor not in self.log.before:
            self.faults.append(f"the log never had {cursor}")
            return
        self._expect(self._follows(position, cursor), f"{cursor} does not follow {position}")
        self.position = cursor
        if code == RECALLED:
            self._expect(data["content"] == "", "a recall shows the content")
        elif code == MESSAGE and data["status"] == 1:
            self._expect(data["content"] == self.log.contents[data["messageId"]], "the content differs")
            self._expect(
                not self._is_kept_too_long(data["messageId"], moment),
                f"the content of {cursor}, which was recalled",
            )
        elif code == MESSAGE:
            self._expect(data["content"] == "", "the content of a recalled message")
            self._expect(data["messageId"] in self.log.recalled, "shown as recalled, though it was not")

    def _cursor_of(self, position: Cursor, frame: dict[str, Any]) -> Cursor:
        return Cursor.parse(frame["cursor"])

    def _follows(self, position: Cursor, cursor: Cursor) -> bool:
        return self.log.reaches(position, self.log.before[cursor], with_notices=self.with_notices)

    def _is_kept_too_long(self, message_id: str, moment: Moment) -> bool:
        """Whether the content is shown too late after its recall.

        A published message may be on its way when it is recalled.
        """
        if message_id not in self.log.recalls:
            return False
        recall, recalled = self.log.recalls[message_id]
        published = self.published_at(message_id)
        if self.began.turn > recalled.turn:
            return published.turn < self.began.turn
        since = moment.seconds - GRACE_SECONDS
        return recalled.seconds < since and published.seconds < since and self.has_pushed(recall)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.faults.append(otherwise)


@dataclass(kw_only=True)
class JavaConnectionModel(ConnectionModel):
    """A connection by the Java door: its frames have no cursor, and nothing tells it of a gap.

    A push need not follow the one before if the node has counted a gap in between, of any gateway.
    """

    head: Callable[[], Cursor]
    """Returns the position that the live gateways of the node have reached."""
    untold_gaps: Callable[[], float]
    """Returns how many gaps the node has counted that it told nobody of."""
    gaps_before: float = 0

    def take(self, frame: dict[str, Any], moment: Moment) -> None:
        """Check a frame."""
        self._expect(frame.keys() == JAVA_FIELDS, f"a frame of the Java door has the fields {[*frame]}")
        super().take(frame, moment)
        self.gaps_before = self.untold_gaps()

    def check_settled(self) -> None:
        """Check that everything in the log was pushed, unless there was a gap since the newest push."""
        if self.position is not None and self.untold_gaps() > self.gaps_before:
            self.position, self.gaps_before = self.head(), self.untold_gaps()
        super().check_settled()

    def _greet(self, frame: dict[str, Any]) -> None:
        self.position = self.head()

    def _jump(self, frame: dict[str, Any]) -> None:
        self.faults.append("a gap is told at the Java door")

    def _cursor_of(self, position: Cursor, frame: dict[str, Any]) -> Cursor:
        message_id = frame["data"]["messageId"]
        cursors = self.log.pushed_as.get((frame["code"], message_id), [])
        following = (cursor for cursor in cursors if self._follows(position, cursor))
        return next(following, cursors[-1] if cursors else Cursor(message_id, ORIGIN))

    def _follows(self, position: Cursor, cursor: Cursor) -> bool:
        return super()._follows(position, cursor) or self.untold_gaps() > self.gaps_before
