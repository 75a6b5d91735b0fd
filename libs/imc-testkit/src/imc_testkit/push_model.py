"""What a gateway may be pushed, as a plain model: held against each frame as it is written.

A gateway stands at a point. The next push must be what followed that point, in the log that was told of; only
a 4002 moves it elsewhere, and only where the log no longer knows what followed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from imc_contracts.cursor import ORIGIN, Cursor
from imc_contracts.events import EventKind, read_live_batch, read_message

CONNECTED, MESSAGE, RECALLED, REFUSED, GAP = 2000, 2001, 2002, 4000, 4002
GRACE_SECONDS = 1.0
"""Longer than a read of the log takes: what was read before a recall may be written after it."""


@dataclass(frozen=True)
class Moment:
    """``turn`` grows with each thing that happens, ``seconds`` only when time passes."""

    turn: int
    seconds: float


NEVER = Moment(-1, float("-inf"))


@dataclass
class Happened:
    """All that one app's log ever held, over all its lineages."""

    unborn: Callable[[], str]
    """The lineage of points of before the birth of the log that there is now; "" if there was none yet."""
    before: dict[Cursor, Cursor] = field(default_factory=dict[Cursor, Cursor])
    """Of each entry the one before it; before the first of a lineage lies `ORIGIN`."""
    notices: set[Cursor] = field(default_factory=set[Cursor])
    contents: dict[str, str] = field(default_factory=dict[str, str])
    recalls: dict[str, tuple[Cursor, Moment]] = field(default_factory=dict[str, tuple[Cursor, Moment]])
    recalled: set[str] = field(default_factory=set[str])
    """Also by recalls that were lost since: a read may be older than the loss."""
    forgotten: set[Cursor] = field(default_factory=set[Cursor])
    """Trimmed, or lost with a server."""
    end: Cursor | None = None
    """The newest entry; None while there is none."""

    def take(self, payload: bytes, moment: Moment) -> None:
        """Note what was appended, as it is published."""
        batch = read_live_batch(payload)
        prev = Cursor(batch.lineage, batch.prev)
        for entry in batch.entries:
            cursor = Cursor(batch.lineage, entry.id)
            assert cursor not in self.before, "two entries at one place"
            self.before[cursor] = prev
            self.end = prev = cursor
            if entry.kind.is_notice:
                self.notices.add(cursor)
                continue
            message = read_message(entry.body)
            if entry.kind is EventKind.MESSAGE_SENT:
                self.contents[message["messageId"]] = message["content"]
            else:
                assert message["messageId"] not in self.recalls, "recalled twice"
                self.recalls[message["messageId"]] = cursor, moment
                self.recalled.add(message["messageId"])

    def trim(self, cursors: set[Cursor]) -> None:
        """The log's old end was cut off."""
        self.forgotten |= cursors

    def mark(self) -> "Happened":
        """What is known now, to be gone back to."""
        return replace(self, recalls=dict(self.recalls), forgotten=set(self.forgotten))

    def go_back(self, mark: "Happened | None") -> None:
        """What came after ``mark`` is lost; everything is if there is none."""
        self.end, self.recalls = (mark.end, dict(mark.recalls)) if mark else (None, {})
        kept: set[Cursor] = set()
        at = self.end
        while at is not None and at.entry != ORIGIN:
            kept.add(at)
            at = self.before[at]
        self.forgotten.clear()
        self.forgotten |= (self.before.keys() - kept) | (mark.forgotten if mark else set())

    def reaches(self, start: Cursor, end: Cursor | None, *, with_notices: bool) -> bool:
        """Whether nothing that a gateway should be told lies between the two points."""
        if end is None:
            return start.lineage == self.unborn()
        while end != start and end in self.notices and not with_notices:
            end = self.before[end]
        return end == start or (start.lineage == self.unborn() and end.entry == ORIGIN)

    def knows_what_follows(self, point: Cursor) -> bool:
        """Whether the log can tell: then no gap may be announced there."""
        if point.is_unborn:
            return point.lineage == self.unborn() and not self.forgotten
        is_of_this_log = self.end is not None and point.lineage == self.end.lineage
        return is_of_this_log and point in self.before and point not in self.forgotten


@dataclass
class Told:
    """One connection of a gateway, by its frames. Broken promises are kept in ``faults``."""

    happened: Happened
    offered: Cursor | None
    with_notices: bool
    began: Moment
    heard: Callable[[str], Moment]
    """When the node last heard of a message as it was published."""
    knows: Callable[[Cursor], bool]
    """Whether the node has told of all up to an entry."""
    position: Cursor | None = None
    is_refused: bool = False
    awaits_gap: bool = False
    faults: list[str] = field(default_factory=list[str])

    def take(self, frame: dict[str, Any], moment: Moment) -> None:
        """Hold a frame against what happened."""
        code = frame["code"]
        if code == REFUSED:
            self.is_refused = True
        elif code == CONNECTED:
            self._expect(self.position is None, "2000 twice")
            self._greet(Cursor.parse(frame["cursor"]), recovered=frame["recovered"])
        elif self.position is None:
            self.faults.append(f"{code} before 2000")
        elif code == GAP:
            self._jump(Cursor.parse(frame["data"]["from"]), Cursor.parse(frame["data"]["to"]))
        else:
            self._push(self.position, frame, moment)

    def check_settled(self) -> None:
        """All that was appended must have been told."""
        assert self.position is not None, "it never got its 2000"
        end = self.happened.end
        is_there = self.happened.reaches(self.position, end, with_notices=self.with_notices)
        assert is_there, f"the log is at {end}, the gateway was told up to {self.position}"
        assert not self.awaits_gap, "not recovered, and no gap announced"

    def _greet(self, point: Cursor, *, recovered: bool) -> None:
        self.position = point
        if self.offered is None:
            self._expect(not recovered, "recovered what was never offered")
        elif recovered:
            self._expect(point == self.offered, f"goes on from {point}, not from {self.offered}")
        else:
            self.awaits_gap = True

    def _jump(self, start: Cursor, end: Cursor) -> None:
        if self.awaits_gap:
            self._expect(start == self.offered and end == self.position, "the gap is another one")
            self.awaits_gap = False
        else:
            here = self.position or start
            # Moments of an unborn log are all one point.
            is_here = start.is_unborn and here.lineage == start.lineage
            is_here |= self.happened.reaches(here, start, with_notices=self.with_notices)
            self._expect(is_here, f"a gap from {start} on, where {self.position} was the last told")
        self._expect(not self.happened.knows_what_follows(start), f"a needless gap after {start}")
        self.position = end

    def _push(self, position: Cursor, frame: dict[str, Any], moment: Moment) -> None:
        code, cursor, data = frame["code"], Cursor.parse(frame["cursor"]), frame["data"]
        self._expect(not self.awaits_gap, "pushes before the gap is announced")
        before = self.happened.before.get(cursor)
        if before is None:
            self.faults.append(f"{cursor} never happened")
            return
        follows = self.happened.reaches(position, before, with_notices=self.with_notices)
        self._expect(follows, f"{cursor} does not follow {position}")
        self.position = cursor
        if code == RECALLED:
            self._expect(data["content"] == "", "a recall shows the content")
        elif code == MESSAGE and data["status"] == 1:
            self._expect(data["content"] == self.happened.contents[data["messageId"]], "another content")
            self._expect(not self._is_kept_too_long(data["messageId"], moment), f"{cursor} was recalled")
        elif code == MESSAGE:
            self._expect(data["content"] == "", "the content of a recalled message")
            self._expect(data["messageId"] in self.happened.recalled, "shown as recalled, though it was not")

    def _is_kept_too_long(self, message_id: str, moment: Moment) -> bool:
        """Whether a replay shows the content. What is published may be under way when it is recalled."""
        if message_id not in self.happened.recalls:
            return False
        recall, recalled = self.happened.recalls[message_id]
        heard = self.heard(message_id)
        if self.began.turn > recalled.turn:
            return heard.turn < self.began.turn
        since = moment.seconds - GRACE_SECONDS
        return recalled.seconds < since and heard.seconds < since and self.knows(recall)

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.faults.append(otherwise)
