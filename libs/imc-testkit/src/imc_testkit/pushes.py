"""Checks the pushes that gateways received against the sends and the rows. Part of the checker.

Connections of one gateway that resume each other form a chain. A chain must contain every event after its
beginning, once, in the order of the log, except for gaps that a 4002 announced. If it lists its groups, it
must contain the events of those that it held, by its 2007, and no others. A 4002 back to an earlier
position says that what was pushed after that was lost with a server. The database may have it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from imc_contracts.cursor import ORIGIN, Cursor, EntryId

from imc_testkit.erased import Gone
from imc_testkit.history import NO_CONTENT, Answer, Connection, History, Row

CONNECTED, MESSAGE, RECALLED, ERASED, GAP = 2000, 2001, 2002, 2006, 4002
GROUPS_HELD, POSITION = 2007, 2008
Event = tuple[int, str]
"""The code of a push, and the id of its message or erasure."""


@dataclass(frozen=True)
class Violation:
    """A broken guarantee. ``kind`` is the name of a count of the report."""

    kind: str
    text: str


@dataclass
class _Chain:
    app_id: str
    gateway_id: str
    connections: list[Connection] = field(default_factory=list[Connection])
    began: float = 0.0
    start: EntryId | None = None
    position: EntryId = ORIGIN
    seen: dict[Event, EntryId] = field(default_factory=dict[Event, EntryId])
    gaps: list[tuple[EntryId, EntryId]] = field(default_factory=list[tuple[EntryId, EntryId]])
    doubted: set[str] = field(default_factory=set[str])
    """The messages that a later 4002 was about: they may be lost."""
    taken_back: set[Event] = field(default_factory=set[Event])
    """What was pushed after the position that a 4002 went back to: it may be pushed again."""

    held: list[tuple[EntryId, tuple[str, ...]]] = field(default_factory=list[tuple[EntryId, tuple[str, ...]]])
    """What it held after which entry, if it lists its groups."""

    @property
    def lists_groups(self) -> bool:
        return self.connections[0].lists_groups

    def holds(self, group_id: str | None, place: EntryId) -> bool:
        """Whether it must get an event at ``place``, of a group, or one for all."""
        if not self.lists_groups:
            return True
        held = next((groups for after, groups in reversed(self.held) if after < place), None)
        return held is not None and (group_id is None or group_id in held)

    def always_holds(self, group_id: str) -> bool:
        """Whether it must get the events of a group wherever they are."""
        return not self.lists_groups or (
            bool(self.held) and all(group_id in groups for _, groups in self.held)
        )

    @property
    def name(self) -> str:
        return f"{self.gateway_id} of {self.app_id}"

    @property
    def is_caught_up(self) -> bool:
        return self.connections[-1].is_caught_up

    def is_in_gap(self, place: EntryId) -> bool:
        """Whether a 4002 announced a gap around ``place``."""
        return any(first < place <= last for first, last in self.gaps)

    def announce(self, start: EntryId, end: EntryId) -> None:
        """Take a 4002 from one place to another."""
        low, high = min(start, end), max(start, end, self.position)
        self.doubted |= {message_id for (_, message_id), place in self.seen.items() if low < place <= high}
        self.gaps.append((min(start, self.position), end))
        self.taken_back |= {event for event, place in self.seen.items() if place > end}
        if self.held and self.held[-1][0] > end:  # it goes on from ``end`` with the groups that it holds now
            now = self.held[-1][1]
            self.held = [*((after, groups) for after, groups in self.held if after < end), (end, now)]
        self.position = end


def check_pushes(history: History, rows: Sequence[Row], gone: Gone) -> Iterator[Violation]:
    """Check all pushes of a run. What is ``gone`` by an erasure may have been pushed, or not."""
    events = _events_by_app(rows)
    groups: dict[str, str | None] = {row.message_id: row.group_id for row in rows}
    for erasure in history.erasures:
        events[erasure.app_id][ERASED, erasure.erasure_id] = Cursor.parse(erasure.cursor).entry
        groups[erasure.erasure_id] = None
    chains = list(_chains(history.connections))
    for chain in chains:
        yield from _follow(chain)
        yield from _missing(chain, events[chain.app_id], groups, history, gone)
        yield from _not_held(chain, groups)
    doubted = {
        (chain.app_id, chain.gateway_id, message_id) for chain in chains for message_id in chain.doubted
    }
    yield from _foreign(history, rows, doubted, gone)
    yield from _shown_after_recall(history)
    yield from _different_orders(chains)


def _events_by_app(rows: Sequence[Row]) -> dict[str, dict[Event, EntryId]]:
    events: dict[str, dict[Event, EntryId]] = defaultdict(dict)
    for row in rows:
        if row.log_id is not None:
            events[row.app_id][MESSAGE, row.message_id] = EntryId.from_column(row.log_id)
        if row.status == 0 and row.last_log_id is not None:
            events[row.app_id][RECALLED, row.message_id] = EntryId.from_column(row.last_log_id)
    return events


def _chains(connections: Sequence[Connection]) -> Iterator[_Chain]:
    newest: dict[tuple[str, str], _Chain] = {}
    for connection in connections:
        if not any(frame.code == CONNECTED for frame in connection.frames):
            continue  # refused: the gateway retries with the same cursor
        key = (connection.app_id, connection.gateway_id)
        if connection.offered is None or key not in newest:
            if key in newest:
                yield newest[key]
            newest[key] = _Chain(connection.app_id, connection.gateway_id, began=connection.frames[0].at)
        newest[key].connections.append(connection)
    yield from newest.values()


def _follow(chain: _Chain) -> Iterator[Violation]:
    """Check that positions only grow, and that no event is pushed twice."""
    for frame in (frame for connection in chain.connections for frame in connection.frames):
        cursor = Cursor.parse(frame.cursor)
        place = cursor.entry
        if frame.code == CONNECTED:
            if chain.start is None:
                chain.start = chain.position = place
        elif frame.code == GAP:
            chain.announce(Cursor.parse(frame.gap_from).entry, place)
        elif frame.code in (GROUPS_HELD, POSITION):
            # While the log is unborn a cursor is a time, which differs from node to node.
            if place < chain.position and not cursor.is_unborn:
                yield Violation("reordered", f"{chain.name} is told {place} after {chain.position}")
            chain.position = max(chain.position, place)
            if frame.code == GROUPS_HELD:
                chain.held.append((place, frame.groups))
        elif (event := (frame.code, frame.message_id)) in chain.seen and event not in chain.taken_back:
            yield Violation("repeated", f"{chain.name} got {frame.code} of {frame.message_id} again")
        else:
            if place <= chain.position:
                yield Violation(
                    "reordered", f"{chain.name} got {frame.code} at {place} after {chain.position}"
                )
            chain.seen.pop(event, None)  # its place in the order is where it came last
            chain.seen[event] = place
            chain.taken_back.discard(event)
            chain.position = max(chain.position, place)


def _missing(
    chain: _Chain,
    events: dict[Event, EntryId],
    groups: Mapping[str, str | None],
    history: History,
    gone: Gone,
) -> Iterator[Violation]:
    assert chain.start is not None
    missing: set[Event] = set()
    for event, place in events.items():
        is_due = chain.is_caught_up or place <= chain.position
        is_due &= chain.holds(groups[event[1]], place)
        if event not in chain.seen and chain.start < place and is_due and not chain.is_in_gap(place):
            missing.add(event)
        if event in chain.seen and chain.seen[event] != place:
            yield Violation("reordered", f"{chain.name} got {event} at {chain.seen[event]}, not at {place}")
    if chain.is_caught_up:
        # Compare times too: if a log id was assigned twice, log ids alone would hide a loss.
        for send in history.sends:
            if send.app_id != chain.app_id or not send.attempts or send.attempts[0].began < chain.began:
                continue
            if not chain.always_holds(send.group_id):
                continue
            for attempt in send.attempts:
                event = (MESSAGE, attempt.message_id or "")
                if attempt.message_id is None or event in chain.seen or attempt.message_id in gone:
                    continue
                place = events.get(event)
                if place is None and attempt.message_id in history.due and attempt.cursor:
                    place = Cursor.parse(attempt.cursor).entry
                if place is None or not chain.is_in_gap(place):
                    missing.add(event)
    for code, message_id in sorted(missing):
        yield Violation("lost", f"{chain.name} never got {code} of {message_id}")


def _not_held(chain: _Chain, groups: Mapping[str, str | None]) -> Iterator[Violation]:
    for event, place in chain.seen.items():
        code, message_id = event
        if event in chain.taken_back:
            continue  # what it held then is not known any more
        group_id = groups.get(message_id)
        if group_id is not None and not chain.holds(group_id, place):
            yield Violation("phantom", f"{chain.name} got {code} of {message_id} in {group_id}: not held")


def _foreign(
    history: History, rows: Sequence[Row], doubted: Collection[tuple[str, str, str]], gone: Gone
) -> Iterator[Violation]:
    """Check that pushes have the content that was sent, and belong to the gateway's app.

    Where masters are replaced, messages that a gateway was told to be in doubt, ``doubted``, may have no row.
    Neither need those that were due to be removed.
    """
    stored = {row.message_id: row for row in rows}
    sends = {send.digest: send for send in history.sends}
    reported: set[tuple[str, str]] = set()
    for connection in history.connections:
        for frame in connection.frames:
            if frame.code not in (MESSAGE, RECALLED):
                continue
            send, row = sends.get(frame.digest), stored.get(frame.message_id)
            apps = {frame.app_id, *([send.app_id] if send else ()), *([row.app_id] if row else ())}
            if apps != {connection.app_id}:
                yield Violation(
                    "cross_app", f"{connection.gateway_id} of {connection.app_id} got a message of {apps}"
                )
            key = (connection.gateway_id, frame.message_id)
            if key in reported:
                continue
            is_in_doubt = history.masters_are_replaced and (connection.app_id, *key) in doubted
            may_be_missing = is_in_doubt or frame.message_id in gone or frame.message_id in history.due
            if send is None and frame.digest != NO_CONTENT:
                reported.add(key)
                yield Violation(
                    "phantom", f"nobody sent {frame.message_id} as {connection.gateway_id} got it"
                )
                continue
            if row is None and may_be_missing:
                continue
            if row is None or (send is not None and send.answer is Answer.REFUSED):
                reported.add(key)
                reason = "has no row" if row is None else "was refused"
                place = Cursor.parse(frame.cursor).entry
                answer = "not known" if send is None else send.answer
                yield Violation(
                    "phantom",
                    f"{connection.gateway_id} of {connection.app_id} got {frame.message_id} at {place}, "
                    f"which {reason}; its send is {answer}; "
                    f"then it got {_later(history, connection, frame.at)}",
                )


def _later(history: History, first: Connection, since: float) -> str:
    """The beginnings of the connections of a gateway since then, and what it was told of gaps."""
    told = [
        f"{frame.code} at {frame.cursor} ({frame.gap_from or each.offered})"
        for each in history.connections
        if (each.app_id, each.gateway_id) == (first.app_id, first.gateway_id)
        for frame in each.frames
        if frame.at >= since and frame.code in (CONNECTED, GAP)
    ]
    return ", ".join(told[:5]) or "nothing"


def _shown_after_recall(history: History) -> Iterator[Violation]:
    ended: dict[str, float] = {}
    for recall in history.recalls:
        if recall.answer is Answer.ACKNOWLEDGED and recall.ended is not None:
            ended[recall.message_id] = recall.ended
    for connection in history.connections:
        gone: set[str] = set()
        for frame in connection.frames:
            if frame.code == RECALLED:
                gone.add(frame.message_id)
            # A push on its way to an open connection can't be stopped; a later connection must not show it.
            is_known = frame.message_id in gone or connection.began > ended.get(
                frame.message_id, connection.began
            )
            if is_known and frame.digest not in (NO_CONTENT, ""):
                name = f"{connection.gateway_id} of {connection.app_id}"
                yield Violation(
                    "content_after_recall", f"{name} got the content of recalled {frame.message_id}"
                )


def _different_orders(chains: Sequence[_Chain]) -> Iterator[Violation]:
    by_app: dict[str, list[_Chain]] = defaultdict(list)
    for chain in chains:
        by_app[chain.app_id].append(chain)
    for same_app in by_app.values():
        longest = max(same_app, key=lambda chain: len(chain.seen))
        rank = {event: at for at, event in enumerate(longest.seen)}
        for chain in same_app:
            for first, second in pairwise(event for event in chain.seen if event in rank):
                if rank[first] > rank[second]:
                    words = f"{chain.name} got {first} before {second}, {longest.name} after it"
                    yield Violation("reordered", words)
                    break
