"""The delivery of one app's log to the gateways of this node."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from imc_contracts.commands import ChangeGroups
from imc_contracts.cursor import Cursor
from imc_contracts.events import Entry

from imc_push_node.gateway import frames
from imc_push_node.gateway.broadcast_group import BroadcastGroup
from imc_push_node.gateway.gateway import Amount, Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.framed_entries import FramedEntries, Pushes
from imc_push_node.stream.listed_gateways import GroupRoom, ListedGateways
from imc_push_node.stream.outbox import Outbox
from imc_push_node.stream.replay_buffer import Broadcast
from imc_push_node.stream.traces import OnTraced, Traces

READS_LOG = (State.LAGGING, State.RESUMING)
REPLAYS = (*READS_LOG, State.READING_ARCHIVE)
CONNECTED = (State.CONNECTING, State.LISTING, State.LIVE, *REPLAYS)


class IllegalTransition(Exception):
    """A gateway can't go from its state to the other one in this way: a defect of this node."""


class Delivery:
    """Owns the state of each gateway of an app, and writes its pushes.

    The state changes by these transitions only. Any other raises `IllegalTransition`.

    | transition  | from                               | to              | when                              |
    |-------------|------------------------------------|-----------------|-----------------------------------|
    | enter       | NEW                                | CONNECTING      | its socket is open                |
    | join        | CONNECTING                         | LIVE            | it is registered, at the head     |
    | join        | CONNECTING                         | RESUMING        | the same, with an older cursor    |
    | join        | CONNECTING                         | LISTING         | at the head, and lists its groups |
    | await_list  | RESUMING, READING_ARCHIVE          | LISTING         | its older cursor is proven        |
    | hold        | LISTING                            | LIVE            | its list is complete, at the head |
    | hold        | LISTING                            | RESUMING        | the same, and the head has moved  |
    | fall_behind | LIVE                               | LAGGING         | its buffer is full                |
    | reach_head  | LAGGING, RESUMING                  | LIVE            | it has everything up to the head  |
    | leave_log   | LAGGING, RESUMING                  | READING_ARCHIVE | the log can't prove its position  |
    | reach_log   | READING_ARCHIVE                    | RESUMING        | what follows is in the log        |
    | give_up     | LAGGING, RESUMING, READING_ARCHIVE | LIVE            | nothing proves what follows       |
    | give_up     | RESUMING, READING_ARCHIVE          | LISTING         | the same, before it has listed    |
    | leave       | all of these                       | LEFT            | its socket has ended              |

    No transition waits, and `reach_head` needs an empty outbox. So no push falls between a replay and the
    broadcasts that follow it.
    """

    def __init__(
        self,
        metrics: NodeMetrics,
        *,
        has_archive: bool,
        on_busy: Callable[[], object] = lambda: None,
        on_pushed: Callable[[int], object] = lambda _number: None,
        on_moved: Callable[[Gateway], object] = lambda _gateway: None,
        on_traced: OnTraced | None = None,
        room: GroupRoom | None = None,
    ) -> None:
        """``on_busy`` is called when something is pushed, or a buffer is full.

        ``on_pushed`` is called with the number of pushes written, ``on_moved`` after each transition.
        ``on_traced`` is called when entries were pushed that are traced.
        ``room`` is how many groups gateways of the whole node may hold.
        """
        self._traces = Traces(on_traced)
        self._metrics = metrics
        self._on_pushed = on_pushed
        self._on_moved = on_moved
        self._has_archive = has_archive
        self._on_busy = on_busy
        self.outbox = Outbox()
        self._by_state = {state: set[Gateway]() for state in CONNECTED}
        self._groups = {push_format: BroadcastGroup() for push_format in PushFormat}
        """The sockets of live gateways that get all groups."""
        self._listed = ListedGateways(room or GroupRoom())
        """The gateways that get some groups, in any state."""
        self._listeners: Counter[PushFormat] = Counter()
        self._formats: tuple[PushFormat, ...] = ()
        """Entries are encoded for those gateways that are here, live or not, and for no others."""
        self._archive_starts: dict[Gateway, Cursor] = {}
        """Where each gateway that reads the archive was when the log could not prove its position."""
        self.full: set[Gateway] = set()
        """Gateways in any state whose buffer is full."""
        self.log_reading = asyncio.Event()
        """Set when a gateway has begun to read the log, or has room again."""
        self.archive_reading = asyncio.Event()
        """The same for the archive."""
        self._flush_handle: asyncio.Handle | None = None

    @property
    def gateways(self) -> list[Gateway]:
        """All gateways of the app, those that are still connecting included."""
        return self.gateways_in(*CONNECTED)

    @property
    def is_deserted(self) -> bool:
        """Whether the app has no gateway here."""
        return not any(self._by_state.values())

    def gateways_in(self, *states: State) -> list[Gateway]:
        """The gateways in any of the states."""
        return [gateway for state in states for gateway in self._by_state[state]]

    def number_in(self, *states: State) -> int:
        """How many gateways are in any of the states."""
        return sum(len(self._by_state[state]) for state in states)

    # The log, as the follower tells it.

    def tell(self, epoch: str, entries: Sequence[Entry], end: Cursor, traces: Sequence[str] = ()) -> None:
        """Push the entries between head and ``end``: when the loop is next free, or at once if many.

        ``traces`` are the contexts of the traces of those that are traced.
        """
        rest = self.outbox.add(epoch, entries, end)
        while rest:
            self.flush()
            rest = self.outbox.add(epoch, rest, end)
        if entries:
            self._traces.note(traces)
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what the outbox holds to the live gateways."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self.outbox.is_empty:
            return
        self._on_busy()
        broadcast, framed = self.outbox.take(self._formats)
        if broadcast.entries:
            self._broadcast(broadcast, framed)
        self._traces.tell(self.number_in(State.LIVE))

    def jump(self, to: Cursor, since: Cursor | None = None) -> None:
        """Go on from a position that does not follow from the head, and announce the gap to live gateways.

        The gap begins at the head, or at ``since`` if entries may be missing that are older.
        """
        self.flush()
        start = since or self.outbox.head
        for push_format, group in self._groups.items():
            if push_format.has_cursors:
                group.write(frames.gap(start, to, push_format))
                self._metrics.gaps.inc(len(group))
            else:
                self._metrics.untold_gaps.inc(len(group))
        self._metrics.gaps.inc(self._listed.tell_live(to, frames.gap(start, to)))
        self.outbox.jump(to)
        self._on_busy()

    def _broadcast(self, broadcast: Broadcast, framed: FramedEntries) -> None:
        if self.full:
            told = self.outbox.told
            passed = Amount(told.entries - broadcast.entries, told.size - broadcast.size)
            for gateway in self.full & self._by_state[State.LIVE]:
                self.fall_behind(gateway, broadcast.start)
                gateway.passed = passed
        deliveries = 0
        for push_format, (encoded, number, _) in broadcast.pushes.items():
            if number:
                group = self._groups[push_format]
                group.write(encoded)
                deliveries += number * len(group)
        if self._listed:
            deliveries += self._listed.write(framed)
        self._metrics.entries.inc(broadcast.entries)
        self._count(deliveries)

    def tell_positions(self) -> None:
        """Tell gateways that got no push lately up to where they have everything. No transition."""
        if self._listed and self.outbox.has_begun:
            self.flush()
            self._listed.tell_positions(self.outbox.head)

    @property
    def owes_positions(self) -> bool:
        """Whether `tell_positions` has something to tell, now or the next time."""
        return bool(self._listed) and self._listed.owes_positions(self.outbox.head)

    def _count(self, deliveries: int) -> None:
        self._metrics.deliveries.inc(deliveries)
        self._on_pushed(deliveries)

    # Transitions.

    def enter(self, gateway: Gateway) -> None:
        """Take in a gateway that is about to be registered."""
        self._require(gateway, State.NEW)
        self._move(gateway, State.CONNECTING)
        if gateway.groups is not None:
            self._listed.enter(gateway)
        else:
            self._listeners[gateway.format] += 1
            self._formats = tuple(self._listeners)

    def join(self, gateway: Gateway, offered: Cursor | None) -> None:
        """Push to a registered gateway from the cursor that it offers, or from the head."""
        self._require(gateway, State.CONNECTING)
        self.flush()
        is_there = offered is not None and self._is_head(offered)
        if offered is None or is_there:
            position = offered or self.outbox.head
            gateway.greet(position, recovered=is_there)
            self._begin(gateway, position)
        else:
            gateway.offered = gateway.position = offered
            self._move(gateway, State.RESUMING)

    def await_list(self, gateway: Gateway, *, recovered: bool = True) -> None:
        """Greet a gateway whose position is proven, and push to it once it has listed its groups."""
        self._require(gateway, State.RESUMING, State.READING_ARCHIVE)
        gateway.greet(gateway.offered or gateway.position, recovered=recovered)
        self._move(gateway, State.LISTING)

    def hold(self, gateway: Gateway, change: ChangeGroups) -> None:
        """Change the groups that a gateway holds, and answer with 2007.

        Of a group that is added it gets everything after the position in the 2007: of those that it begins
        with, after the position in its 2000. Raises `Refused` with nothing changed.
        """
        self._require(gateway, State.LISTING, State.LIVE, *REPLAYS)
        self.flush()
        self._listed.hold(gateway, change.add_groups or (), change.remove_groups or ())
        position = self.outbox.head if gateway.state is State.LIVE else gateway.position
        gateway.tell(position, frames.groups_held(len(gateway.groups or ()), position))
        gateway.has_listed |= not change.more
        if gateway.state is State.LISTING and gateway.has_listed:
            self._move(gateway, State.LIVE if self._is_head(position) else State.RESUMING)
        self._on_moved(gateway)

    def _is_head(self, position: Cursor) -> bool:
        """Whether nothing follows ``position``. All positions in a log without entries are the same."""
        head = self.outbox.head
        return position == head or (head.is_unborn and position.epoch == head.epoch)

    def _begin(self, gateway: Gateway, position: Cursor) -> None:
        """Go live at the head, or wait there for the list of groups."""
        if gateway.has_listed:
            self._move(gateway, State.LIVE)
        else:
            gateway.position = position
            self._move(gateway, State.LISTING)

    def fall_behind(self, gateway: Gateway, position: Cursor) -> None:
        """Push no more to a live gateway whose buffer is full. It has everything up to ``position``."""
        self._require(gateway, State.LIVE)
        gateway.position = position
        self._metrics.demotions.inc()
        self._move(gateway, State.LAGGING)

    def push(self, gateway: Gateway, pushes: Pushes, end: Cursor, *, recovered: bool = True) -> None:
        """Write to a gateway what follows its position, up to ``end``. Its 2000 comes before that.

        No transition.
        """
        self._require(gateway, *REPLAYS)
        gateway.greet(gateway.offered or gateway.position, recovered=recovered)
        gateway.socket.write(pushes.frames)
        gateway.position = end
        if gateway.passed is not None:
            gateway.passed = gateway.passed.plus(pushes.amount)
        self._count(pushes.number)

    def rename_position(self, gateway: Gateway, epoch: str) -> None:
        """Use the epoch of the log that was born after a position of the time before. No transition."""
        self._require(gateway, State.READING_ARCHIVE)
        gateway.position = Cursor(epoch, gateway.position.entry)

    def go_back(self, gateway: Gateway, origin: Cursor) -> None:
        """Announce that what a gateway got after ``origin`` is lost, and go on from there. No transition."""
        self._require(gateway, *READS_LOG)
        start = gateway.offered or gateway.position
        gateway.greet(origin, recovered=False)
        self._announce_gap(gateway, start, origin)
        gateway.position = origin
        self.log_reading.set()

    def skip(self, gateway: Gateway, to: Cursor) -> None:
        """Announce that a gateway can't get what follows its position, and go on at ``to``. No transition."""
        self._require(gateway, State.READING_ARCHIVE)
        start = gateway.offered or gateway.position
        gateway.greet(to, recovered=False)
        self._announce_gap(gateway, start, to)
        gateway.position = to

    def reach_head(self, gateway: Gateway) -> None:
        """Push live to a gateway whose replay has reached the head."""
        self._require(gateway, *READS_LOG)
        if not self.outbox.is_empty or gateway.position != self.outbox.head:
            raise IllegalTransition(f"{gateway.position} is not the head as far as it is written")
        self._move(gateway, State.LIVE)

    def leave_log(self, gateway: Gateway) -> None:
        """Go on from the archive. Without one this is `give_up`."""
        self._require(gateway, *READS_LOG)
        if not self._has_archive:
            self.give_up(gateway)
            return
        self._archive_starts[gateway] = gateway.offered or gateway.position
        gateway.passed = None  # the archive leaves out what was taken back
        self._move(gateway, State.READING_ARCHIVE)

    def reach_log(self, gateway: Gateway, position: Cursor, *, has_gap: bool = False) -> None:
        """Go on from the log, at ``position``. ``has_gap``: the archive may lack entries before that."""
        self._require(gateway, State.READING_ARCHIVE)
        gateway.position = position
        if has_gap:
            self._announce_gap(gateway, self._archive_starts[gateway], position)
        self._move(gateway, State.RESUMING)

    def give_up(self, gateway: Gateway, since: Cursor | None = None) -> None:
        """Announce that what follows a gateway's position is not known, and go on from the head.

        Entries may be missing from ``since`` on, if that is older.
        """
        self._require(gateway, *REPLAYS)
        self.flush()
        start, head = since or gateway.offered or gateway.position, self.outbox.head
        gateway.greet(head, recovered=False)
        self._announce_gap(gateway, start, head)
        self._begin(gateway, head)

    def leave(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        self._require(gateway, *CONNECTED)
        self._move(gateway, State.LEFT)
        self.full.discard(gateway)
        if gateway.groups is not None:
            self._listed.leave(gateway)
        else:
            self._listeners -= Counter([gateway.format])
            self._formats = tuple(self._listeners)

    def _require(self, gateway: Gateway, *states: State) -> None:
        if gateway.state not in states:
            raise IllegalTransition(f"the gateway is {gateway.state.name}")

    def _move(self, gateway: Gateway, to: State) -> None:
        before, gateway.state = gateway.state, to
        if before is not State.NEW:
            self._by_state[before].remove(gateway)
        if before is State.LIVE and gateway.groups is None:
            self._groups[gateway.format].discard(gateway.socket)
        elif before is State.READING_ARCHIVE:
            del self._archive_starts[gateway]
        if to is not State.LEFT:
            self._by_state[to].add(gateway)
        if to is State.LIVE and gateway.groups is None:
            self._groups[gateway.format].add(gateway.socket)
        elif to is State.LIVE:
            self._on_busy()  # what it is owed of positions is told by those who look at busy apps
        elif to in READS_LOG:
            self.log_reading.set()
        elif to is State.READING_ARCHIVE:
            self.archive_reading.set()
        self._metrics.lagging.inc((to in READS_LOG) - (before in READS_LOG))
        self._metrics.resuming.inc((to is State.READING_ARCHIVE) - (before is State.READING_ARCHIVE))
        self._on_moved(gateway)

    def _announce_gap(self, gateway: Gateway, start: Cursor, end: Cursor) -> None:
        if gateway.format.has_cursors:
            gateway.socket.write(frames.gap(start, end, gateway.format))
            self._metrics.gaps.inc()
        else:
            self._metrics.untold_gaps.inc()

    # The buffers of sockets.

    def on_full(self, gateway: Gateway) -> None:
        """The buffer of a gateway is full. If the gateway is live, it falls behind at the next broadcast."""
        self.full.add(gateway)
        self._on_busy()

    def on_room(self, gateway: Gateway) -> None:
        """The buffer of a gateway has room again."""
        self.full.discard(gateway)
        self.log_reading.set()
        self.archive_reading.set()
