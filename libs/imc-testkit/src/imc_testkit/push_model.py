"""A simple model of what a gateway may be pushed. Each frame is checked against it when it is written.

The model keeps the position of each gateway. The next push must be the entry that follows that position in
the log. Only a 4002 moves the position elsewhere, and only where the log no longer knows what follows.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace
from typing import Any

from imc_contracts.cursor import ORIGIN, Cursor
from imc_contracts.events import EventKind, read_live_batch, read_message

CONNECTED, MESSAGE, RECALLED, REFUSED, GAP = 2000, 2001, 2002, 4000, 4002
GROUPS_HELD, POSITION = 2007, 2008
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
    groups: dict[Cursor, str | None] = field(default_factory=dict[Cursor, "str | None"])
    """The group of each entry."""
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
            self.groups[cursor] = entry.group_id
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

    def reaches(self, start: Cursor, end: Cursor | None, leaves_out: Callable[[Cursor], bool]) -> bool:
        """Whether there is nothing to push between the two positions, but for entries that are left out."""
        if end is None:
            return start.epoch == self.unborn()
        while end != start and end in self.before and leaves_out(end):
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
        is_there = self.reaches(self.position, end)
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
            is_from_here = start == self.offered or self._is_before_fork(start, self.offered)
            self._expect(is_from_here and end == self.position, "the gap has other bounds")
            self.awaits_gap = False
        else:
            here = self.position or start
            # All positions in a log without entries are the same.
            is_here = start.is_unborn and here.epoch == start.epoch
            is_here |= self.reaches(here, start)
            is_here |= self._is_before_fork(start, here)
            self._expect(is_here, f"a gap from {start}, but the last push was {self.position}")
        self._expect(not self.log.knows_what_follows(start), f"a gap after {start}, which the log still has")
        self.position = end

    def _is_before_fork(self, start: Cursor, here: Cursor | None) -> bool:
        """Whether a gap may begin before ``here``, since that was lost, and nobody knows from where on."""
        if here is None or start.epoch != here.epoch or start.entry >= here.entry:
            return False
        return not self.log.knows_what_follows(here)

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
        return self.reaches(position, self.log.before[cursor])

    def reaches(self, start: Cursor, end: Cursor | None) -> bool:
        """Whether it is not to be pushed anything between the two positions."""
        return self.log.reaches(start, end, self._leaves_out)

    def _leaves_out(self, entry: Cursor) -> bool:
        """Whether the gateway is not to be pushed an entry."""
        return entry in self.log.notices and not self.with_notices

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


@dataclass
class ListedConnectionModel(ConnectionModel):
    """A connection that gets only the events of groups that it lists.

    Its position moves without pushes too, by 2007 and 2008: only where nothing of its groups is left out.
    """

    held: frozenset[str] = frozenset()
    has_listed: bool = False
    asked: list[tuple[frozenset[str], bool]] = field(default_factory=list["tuple[frozenset[str], bool]"])
    """The changes without an answer: what is held then, and whether the list goes on in another frame."""

    def ask(self, add: Set[str], remove: Set[str], *, more: bool) -> dict[str, Any]:
        """The frame that changes the groups."""
        before = self.asked[-1][0] if self.asked else self.held
        self.asked.append((before.difference(remove).union(add), more))
        return {"addGroups": [*add], "removeGroups": [*remove], "more": more}

    def take(self, frame: dict[str, Any], moment: Moment) -> None:
        """Check a frame."""
        if frame["code"] not in (GROUPS_HELD, POSITION):
            super().take(frame, moment)
            return
        cursor = Cursor.parse(frame["cursor"])
        if self.position is None:
            self.faults.append(f"{frame['code']} before 2000")
            return
        is_there = cursor.is_unborn and cursor.epoch == self.position.epoch
        is_there |= self.reaches(self.position, cursor)
        self._expect(is_there, f"{frame['code']} at {cursor} leaves out what follows {self.position}")
        self.position = cursor
        if frame["code"] == GROUPS_HELD:
            self.held, more = self.asked.pop(0)
            self._expect(frame["data"] == len(self.held), "another number of groups is held")
            self.has_listed |= not more

    def check_settled(self) -> None:
        """Check that everything of its groups was pushed, if it has listed them."""
        if self.has_listed:
            super().check_settled()
        assert not self.asked, "a change of groups has no answer"

    def _push(self, position: Cursor, frame: dict[str, Any], moment: Moment) -> None:
        self._expect(self.has_listed, "a push before the groups are listed")
        group = frame["data"]["groupId"]
        self._expect(group in self.held, f"a push of {group}, which is not held")
        super()._push(position, frame, moment)

    def _leaves_out(self, entry: Cursor) -> bool:
        return super()._leaves_out(entry) or self.log.groups[entry] not in {*self.held, None}


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
