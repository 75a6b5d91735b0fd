"""The state of each gateway of an app: which transitions there are, and what each writes."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import Entry, Event, EventKind
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.delivery import CONNECTED, READS_LOG, REPLAYS, Delivery, IllegalTransition
from imc_push_node.stream.framed_entries import FramedEntries
from imc_service.auth.grant import EVERYTHING
from imc_testkit.memory_socket import MemorySocket
from imc_testkit.virtual_time import VirtualTimeLoop
from prometheus_client import CollectorRegistry

START = 10
"""The entry at which a world begins."""

PUSHES = (2001, 2002, 2004, 2005, 2006)
V1, NOTICES, JAVA = PushFormat.V1, PushFormat.V1_WITH_NOTICES, PushFormat.JAVA


def at(number: int, epoch: str = "line") -> Cursor:
    return Cursor(epoch, EntryId(number, 0))


def entry(number: int, kind: EventKind = EventKind.MESSAGE_SENT) -> Entry:
    return Event(kind, b'{"n":%d}' % number).at(EntryId(number, 0))


class World:
    """The delivery of an app, its log, and what its gateways got."""

    def __init__(self, *, has_archive: bool = True) -> None:
        self.registry = CollectorRegistry()
        self.delivery = Delivery(NodeMetrics(self.registry), has_archive=has_archive)
        self.delivery.outbox.begin(at(START))
        self.log: list[Entry] = [entry(number) for number in range(1, START + 1)]
        self.got: dict[Gateway, list[dict[str, Any]]] = {}

    def gateway(self, push_format: PushFormat = V1) -> Gateway:
        frames: list[dict[str, Any]] = []
        gateway = Gateway("app", "gateway", MemorySocket(frames.append), EVERYTHING, push_format)
        self.got[gateway] = frames
        return gateway

    def tell(self, *kinds: EventKind) -> None:
        """More entries follow."""
        first = len(self.log) + 1
        entries = [entry(number, kind) for number, kind in enumerate(kinds, first)]
        self.log += entries
        self.delivery.tell("line", entries, at(len(self.log)))

    def replay(self, gateway: Gateway, end: int) -> None:
        """Push what follows a gateway's position, up to an entry."""
        framed = FramedEntries("line", self.log[:end], has_notices=True)
        pushes = framed.after(gateway.position.entry, gateway.format)
        self.delivery.push(gateway, pushes, at(end))

    def codes(self, gateway: Gateway) -> list[int]:
        return [frame["code"] for frame in self.got[gateway]]

    def numbers(self, gateway: Gateway) -> list[int]:
        return [frame["data"]["n"] for frame in self.got[gateway] if frame["code"] in PUSHES]

    def count(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0


TRANSITIONS: dict[str, tuple[Callable[[Delivery, Gateway], None], Sequence[State]]] = {
    "enter": (lambda delivery, gateway: delivery.enter(gateway), [State.NEW]),
    "join": (lambda delivery, gateway: delivery.join(gateway, None), [State.CONNECTING]),
    "resume": (lambda delivery, gateway: delivery.join(gateway, at(1)), [State.CONNECTING]),
    "fall_behind": (lambda delivery, gateway: delivery.fall_behind(gateway, at(1)), [State.LIVE]),
    "push": (
        lambda delivery, gateway: delivery.push(
            gateway, FramedEntries("", [], has_notices=False).all(V1), at(START)
        ),
        REPLAYS,
    ),
    "go_back": (lambda delivery, gateway: delivery.go_back(gateway, at(START)), READS_LOG),
    "reach_head": (lambda delivery, gateway: delivery.reach_head(gateway), READS_LOG),
    "leave_log": (lambda delivery, gateway: delivery.leave_log(gateway), READS_LOG),
    "rename_position": (
        lambda delivery, gateway: delivery.rename_position(gateway, "line"),
        [State.READING_ARCHIVE],
    ),
    "reach_log": (lambda delivery, gateway: delivery.reach_log(gateway, at(2)), [State.READING_ARCHIVE]),
    "give_up": (lambda delivery, gateway: delivery.give_up(gateway), REPLAYS),
    "leave": (lambda delivery, gateway: delivery.leave(gateway), CONNECTED),
}
WAYS: dict[State, Sequence[str]] = {
    State.NEW: [],
    State.CONNECTING: ["enter"],
    State.LIVE: ["enter", "join"],
    State.LAGGING: ["enter", "join", "fall_behind"],
    State.RESUMING: ["enter", "resume"],
    State.READING_ARCHIVE: ["enter", "resume", "leave_log"],
    State.LEFT: ["enter", "leave"],
}
"""How to bring a gateway that gets the events of all groups into each of its states."""


@pytest.mark.parametrize("state", WAYS, ids=lambda state: state.name)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_only_transitions_of_the_table_are_made(state: State, name: str) -> None:
    world = World()
    gateway = world.gateway()
    for way in WAYS[state]:
        TRANSITIONS[way][0](world.delivery, gateway)
    assert gateway.state is state
    transition, sources = TRANSITIONS[name]
    if name == "reach_head" and state in sources:
        world.replay(gateway, START)
    if state in sources:
        transition(world.delivery, gateway)
        return
    before = list(world.got[gateway])
    with pytest.raises(IllegalTransition, match=state.name):
        transition(world.delivery, gateway)
    assert gateway.state is state
    assert world.got[gateway] == before, "nothing is written by a transition that is refused"


def test_no_gateway_goes_live_short_of_the_head_or_before_a_flush() -> None:
    world = World()
    gateway = world.gateway()
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(1))
    world.replay(gateway, START - 1)
    with pytest.raises(IllegalTransition, match="head"):
        world.delivery.reach_head(gateway)
    world.replay(gateway, START)
    world.delivery.outbox.add("line", [entry(START + 1)], at(START + 1))
    with pytest.raises(IllegalTransition, match="head"):
        world.delivery.reach_head(gateway)


def live(world: World, push_format: PushFormat) -> Gateway:
    gateway = world.gateway(push_format)
    world.delivery.enter(gateway)
    world.delivery.join(gateway, None)
    return gateway


ALL_KINDS = tuple(EventKind)


async def test_each_door_gets_its_own_form_of_a_push() -> None:
    world = World()
    gateways = {push_format: live(world, push_format) for push_format in PushFormat}
    world.tell(*ALL_KINDS)
    world.delivery.flush()
    codes = {push_format: world.codes(gateway) for push_format, gateway in gateways.items()}
    assert codes == {
        V1: [2000, 2001, 2002, 2006],
        NOTICES: [2000, 2001, 2002, 2004, 2005, 2006],
        JAVA: [2000, 2001, 2002],
        PushFormat.EVENTS: [2000, 2001, 2002, 2006],
        PushFormat.EVENTS_WITH_NOTICES: [2000, 2001, 2002, 2004, 2005, 2006],
    }
    assert all("cursor" in frame for frame in world.got[gateways[V1]])
    assert all(frame.keys() == {"success", "code", "message", "data"} for frame in world.got[gateways[JAVA]])
    assert world.count("imc_deliveries_total") == 18
    assert world.count("imc_entries_told_total") == 5


async def test_nothing_is_encoded_for_a_door_without_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    encoded: list[PushFormat] = []
    all_of = FramedEntries.all

    def note(framed: FramedEntries, push_format: PushFormat) -> Any:
        encoded.append(push_format)
        return all_of(framed, push_format)

    monkeypatch.setattr(FramedEntries, "all", note)

    def formats() -> list[PushFormat]:
        encoded.clear()
        world.tell(EventKind.MESSAGE_SENT)
        world.delivery.flush()
        return encoded

    assert formats() == []
    live(world, JAVA)
    assert formats() == [JAVA]
    gateway = live(world, V1)
    assert formats() == [JAVA, V1]
    world.delivery.leave(gateway)
    assert formats() == [JAVA]


async def test_a_gap_is_announced_only_where_a_frame_for_it_exists() -> None:
    world = World(has_archive=False)
    v1, java = live(world, V1), live(world, JAVA)
    world.delivery.jump(at(5, "other"))
    assert (world.codes(v1), world.codes(java)) == ([2000, 4002], [2000])
    for gateway in (v1, java):
        world.delivery.fall_behind(gateway, at(5, "other"))
        world.delivery.leave_log(gateway)
        assert gateway.state is State.LIVE
    assert (world.codes(v1), world.codes(java)) == ([2000, 4002, 4002], [2000])
    assert (world.count("imc_gaps_total"), world.count("imc_gaps_untold_total")) == (2, 2)


async def test_a_slow_gateway_of_the_java_door_is_replayed_what_it_missed() -> None:
    world = World()
    gateway = live(world, JAVA)
    world.delivery.on_full(gateway)
    world.tell(EventKind.MESSAGE_SENT, EventKind.MESSAGE_RECALLED)
    world.delivery.flush()
    assert gateway.state is State.LAGGING
    world.delivery.on_room(gateway)
    world.replay(gateway, START + 2)
    world.delivery.reach_head(gateway)
    world.tell(EventKind.MESSAGE_SENT)
    world.delivery.flush()
    assert world.codes(gateway) == [2000, 2001, 2002, 2001]
    assert world.numbers(gateway) == [START + 1, START + 2, START + 3]


async def test_what_is_erased_is_not_replayed_from_memory() -> None:
    world = World()
    gateway = live(world, V1)
    world.tell(EventKind.MESSAGE_SENT)
    world.delivery.flush()
    world.delivery.on_full(gateway)
    generation = world.delivery.outbox.generation
    world.tell(EventKind.ERASURE)
    world.delivery.flush()
    assert world.delivery.outbox.replay_buffer.is_empty
    assert world.delivery.outbox.generation == generation + 1
    world.delivery.on_room(gateway)
    world.replay(gateway, START + 2)
    assert world.codes(gateway) == [2000, 2001, 2006]


async def test_many_large_entries_are_several_broadcasts() -> None:
    """Between them a gateway that has become full falls behind."""
    world = World()
    gateway = live(world, V1)
    large = [
        Event(EventKind.MESSAGE_SENT, b'{"n":%d,"x":"%b"}' % (number, b"x" * 100_000))
        for number in range(11, 21)
    ]
    entries = [event.at(EntryId(number, 0)) for number, event in enumerate(large, START + 1)]
    socket: Any = gateway.socket
    socket.stall()
    socket.listen(Listener(world.delivery, gateway), 250_000)
    world.delivery.tell("line", entries, at(START + 10))
    world.delivery.flush()
    assert gateway.state is State.LAGGING
    assert world.numbers(gateway) == [11, 12, 13]
    assert gateway.position == at(13)
    assert world.delivery.outbox.head == at(START + 10)


class Listener:
    def __init__(self, delivery: Delivery, gateway: Gateway) -> None:
        self.delivery = delivery
        self.gateway = gateway

    def on_full(self) -> None:
        self.delivery.on_full(self.gateway)

    def on_room(self) -> None:
        self.delivery.on_room(self.gateway)


class Deliveries(RuleBasedStateMachine):
    """Legal events in any order: each gateway is in one place, and gets every entry once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.world = World()
        self.delivery = self.world.delivery
        self.starts: dict[Gateway, int] = {}
        """The entry before the first that each gateway must get."""
        self.gaps: dict[Gateway, set[int]] = {}
        """The entries that each gateway did not get because of a gap."""

    def call(self, function: Callable[..., None], *arguments: Any, **options: Any) -> None:
        async def run() -> None:
            function(*arguments, **options)

        self.loop.run_until_complete(run())

    def choose(self, at: int, *states: State) -> Gateway:
        gateways = sorted(self.delivery.gateways_in(*states), key=list(self.world.got).index)
        return gateways[at % len(gateways)]

    def has(self, *states: State) -> bool:
        return self.delivery.number_in(*states) > 0

    @rule(push_format=st.sampled_from(PushFormat))
    def enter(self, push_format: PushFormat) -> None:
        self.call(self.delivery.enter, self.world.gateway(push_format))

    @precondition(lambda self: self.has(State.CONNECTING))
    @rule(choice=st.integers(0, 9), back=st.none() | st.integers(0, 5))
    def join(self, choice: int, back: int | None) -> None:
        gateway = self.choose(choice, State.CONNECTING)
        offered = None if back is None or gateway.format is JAVA else at(len(self.world.log) - back)
        self.call(self.delivery.join, gateway, offered)
        self.starts[gateway] = len(self.world.log) if offered is None else offered.entry.ms

    @rule(kinds=st.lists(st.sampled_from(EventKind), min_size=1, max_size=3))
    def tell(self, kinds: list[EventKind]) -> None:
        self.call(self.world.tell, *kinds)

    @rule()
    def flush(self) -> None:
        self.call(self.delivery.flush)

    @precondition(lambda self: self.has(*CONNECTED))
    @rule(choice=st.integers(0, 9), is_full=st.booleans())
    def buffer(self, choice: int, is_full: bool) -> None:
        event = self.delivery.on_full if is_full else self.delivery.on_room
        self.call(event, self.choose(choice, *CONNECTED))

    @precondition(lambda self: self.has(*REPLAYS))
    @rule(choice=st.integers(0, 9), count=st.integers(0, 4))
    def replay(self, choice: int, count: int) -> None:
        gateway = self.choose(choice, *REPLAYS)
        self.call(self.delivery.flush)
        self.call(self.world.replay, gateway, min(gateway.position.entry.ms + count, len(self.world.log)))
        if gateway.position == self.delivery.outbox.head and gateway.state in READS_LOG:
            self.call(self.delivery.reach_head, gateway)

    @precondition(lambda self: self.has(*READS_LOG))
    @rule(choice=st.integers(0, 9))
    def leave_log(self, choice: int) -> None:
        self.call(self.delivery.leave_log, self.choose(choice, *READS_LOG))

    @precondition(lambda self: self.has(State.READING_ARCHIVE))
    @rule(choice=st.integers(0, 9))
    def reach_log(self, choice: int) -> None:
        gateway = self.choose(choice, State.READING_ARCHIVE)
        self.call(self.delivery.reach_log, gateway, gateway.position)

    @precondition(lambda self: self.has(*REPLAYS))
    @rule(choice=st.integers(0, 9))
    def give_up(self, choice: int) -> None:
        gateway = self.choose(choice, *REPLAYS)
        start, end = gateway.position.entry.ms, len(self.world.log)
        self.call(self.delivery.give_up, gateway)
        self.gaps.setdefault(gateway, set()).update(range(start + 1, end + 1))
        if gateway.format.has_cursors:
            gap = self.world.got[gateway][-1]
            assert (gap["code"], gap["data"]) == (4002, {"from": str(at(start)), "to": str(at(end))})

    @precondition(lambda self: self.has(*CONNECTED))
    @rule(choice=st.integers(0, 9))
    def leave(self, choice: int) -> None:
        gateway = self.choose(choice, *CONNECTED)
        self.call(self.delivery.leave, gateway)
        got = len(self.world.got[gateway])
        with pytest.raises(IllegalTransition):
            self.delivery.leave(gateway)
        self.call(self.world.tell, EventKind.MESSAGE_SENT)
        self.call(self.delivery.flush)
        assert len(self.world.got[gateway]) == got, "it has left"

    @invariant()
    def each_gateway_is_in_one_place(self) -> None:
        places = [(gateway, state) for state in CONNECTED for gateway in self.delivery.gateways_in(state)]
        assert len(places) == len({gateway for gateway, _ in places})
        assert all(gateway.state is state for gateway, state in places)
        missing = self.world.got.keys() - {gateway for gateway, _ in places}
        assert all(gateway.state is State.LEFT for gateway in missing)
        assert self.delivery.full <= {gateway for gateway, _ in places}
        assert self.world.count("imc_gateways_lagging") == self.delivery.number_in(*READS_LOG)
        assert self.world.count("imc_gateways_resuming") == self.delivery.number_in(State.READING_ARCHIVE)

    @invariant()
    def every_entry_is_pushed_once_in_order_after_2000(self) -> None:
        for gateway, frames in self.world.got.items():
            codes = [frame["code"] for frame in frames]
            assert codes.count(2000) == min(1, len(codes)), json.dumps(frames)
            assert codes[:1] in ([], [2000])
            expected = [
                number
                for number, entry in enumerate(self.world.log, 1)
                if number > self.starts.get(gateway, 0)
                and number not in self.gaps.get(gateway, ())
                and (gateway.format.has_notices or not entry.kind.is_notice)
                and (gateway.format.has_cursors or entry.kind is not EventKind.ERASURE)
            ]
            numbers = self.world.numbers(gateway)
            assert numbers == expected[: len(numbers)]
            if gateway.state is State.LIVE and self.delivery.outbox.is_empty:
                assert numbers == expected

    def teardown(self) -> None:
        self.loop.close()


def test_any_sequence_of_legal_events_keeps_the_promises() -> None:
    examples = settings(
        max_examples=150, stateful_step_count=40, deadline=None, derandomize=True, database=None
    )
    run_state_machine_as_test(Deliveries, settings=examples)
