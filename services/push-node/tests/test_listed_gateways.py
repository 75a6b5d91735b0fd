"""Gateways that get only the events of groups that they list: their states, and what each is written."""

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
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import ChangeGroups
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.errors import Refused
from imc_contracts.events import Entry, Event, EventKind
from imc_contracts.fields import MAX_GROUPS
from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream import framed_entries
from imc_push_node.stream.delivery import CONNECTED, READS_LOG, REPLAYS, Delivery, IllegalTransition
from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.listed_gateways import GroupRoom
from imc_service.auth.grant import EVERYTHING
from imc_testkit.memory_socket import MemorySocket
from imc_testkit.virtual_time import VirtualTimeLoop
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

START = 10
"""The entry at which a world begins."""

V1, NOTICES = PushFormat.V1, PushFormat.V1_WITH_NOTICES
SENT = EventKind.MESSAGE_SENT
PUSHES = (2001, 2002, 2004, 2005)


def at(number: int) -> Cursor:
    return Cursor("line", EntryId(number, 0))


def entry(number: int, group: str | None, kind: EventKind = SENT) -> Entry:
    body = {"n": number} if group is None else {"n": number, "groupId": group}
    return Event(kind, json.dumps(body, separators=(",", ":")).encode()).at(EntryId(number, 0))


def change(*add: str, remove: Sequence[str] = (), more: bool = False) -> ChangeGroups:
    fields = {"addGroups": list(add), "removeGroups": list(remove), "more": more}
    return ChangeGroups.model_validate(fields)


class World:
    """The delivery of an app, its log, and what its gateways got."""

    def __init__(self, *, has_archive: bool = True, room: GroupRoom | None = None) -> None:
        self.registry = CollectorRegistry()
        self.delivery = Delivery(NodeMetrics(self.registry), has_archive=has_archive, room=room)
        self.delivery.outbox.begin(at(START))
        self.log = [entry(number, "a") for number in range(1, START + 1)]
        self.got: dict[Gateway, list[dict[str, Any]]] = {}

    def gateway(self, push_format: PushFormat = V1, *, lists_groups: bool = True) -> Gateway:
        got: list[dict[str, Any]] = []
        socket = MemorySocket(got.append)
        gateway = Gateway("app", "gateway", socket, EVERYTHING, push_format, lists_groups=lists_groups)
        self.got[gateway] = got
        return gateway

    def live(self, *groups: str, push_format: PushFormat = V1) -> Gateway:
        gateway = self.gateway(push_format)
        self.delivery.enter(gateway)
        self.delivery.join(gateway, None)
        self.delivery.hold(gateway, change(*groups))
        assert gateway.state is State.LIVE
        return gateway

    def tell(self, *groups: str | None, kind: EventKind = SENT) -> None:
        first = len(self.log) + 1
        entries = [entry(number, group, kind) for number, group in enumerate(groups, first)]
        self.log += entries
        self.delivery.tell("line", entries, at(len(self.log)))

    def replay(self, gateway: Gateway, end: int) -> None:
        """Push what follows a gateway's position, up to an entry."""
        framed = FramedEntries("line", self.log[:end], has_notices=True)
        pushes = framed.after(gateway.position.entry, gateway.format, gateway.groups)
        self.delivery.push(gateway, pushes, at(end))

    def codes(self, gateway: Gateway) -> list[int]:
        return [frame["code"] for frame in self.got[gateway]]

    def numbers(self, gateway: Gateway) -> list[int]:
        return [frame["data"]["n"] for frame in self.got[gateway] if frame["code"] in PUSHES]


TRANSITIONS: dict[str, tuple[Callable[[Delivery, Gateway], None], Sequence[State]]] = {
    "enter": (lambda delivery, gateway: delivery.enter(gateway), [State.NEW]),
    "join": (lambda delivery, gateway: delivery.join(gateway, None), [State.CONNECTING]),
    "resume": (lambda delivery, gateway: delivery.join(gateway, at(1)), [State.CONNECTING]),
    "await_list": (
        lambda delivery, gateway: delivery.await_list(gateway),
        [State.RESUMING, State.READING_ARCHIVE],
    ),
    "hold": (
        lambda delivery, gateway: delivery.hold(gateway, change("a")),
        [State.LISTING, State.LIVE, *REPLAYS],
    ),
    "push": (
        lambda delivery, gateway: delivery.push(
            gateway, FramedEntries("", [], has_notices=False).after(at(1).entry, V1, ()), at(START)
        ),
        REPLAYS,
    ),
    "go_back": (lambda delivery, gateway: delivery.go_back(gateway, at(START)), READS_LOG),
    "rename_position": (
        lambda delivery, gateway: delivery.rename_position(gateway, "line"),
        [State.READING_ARCHIVE],
    ),
    "reach_log": (lambda delivery, gateway: delivery.reach_log(gateway, at(2)), [State.READING_ARCHIVE]),
    "fall_behind": (lambda delivery, gateway: delivery.fall_behind(gateway, at(1)), [State.LIVE]),
    "leave_log": (lambda delivery, gateway: delivery.leave_log(gateway), READS_LOG),
    "give_up": (lambda delivery, gateway: delivery.give_up(gateway), REPLAYS),
    "leave": (lambda delivery, gateway: delivery.leave(gateway), CONNECTED),
}
WAYS: dict[State, Sequence[str]] = {
    State.NEW: [],
    State.CONNECTING: ["enter"],
    State.LISTING: ["enter", "join"],
    State.LIVE: ["enter", "join", "hold"],
    State.LAGGING: ["enter", "join", "hold", "fall_behind"],
    State.RESUMING: ["enter", "resume"],
    State.READING_ARCHIVE: ["enter", "resume", "leave_log"],
    State.LEFT: ["enter", "leave"],
}
"""How to bring a gateway that lists its groups into each state."""


@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_only_transitions_of_the_table_are_made(state: State, name: str) -> None:
    world = World()
    gateway = world.gateway()
    for way in WAYS[state]:
        TRANSITIONS[way][0](world.delivery, gateway)
    assert gateway.state is state
    transition, sources = TRANSITIONS[name]
    if state in sources:
        transition(world.delivery, gateway)
        return
    before = list(world.got[gateway])
    with pytest.raises(IllegalTransition, match=state.name):
        transition(world.delivery, gateway)
    assert gateway.state is state
    assert world.got[gateway] == before, "nothing is written by a transition that is refused"


async def test_each_gets_the_events_of_its_groups_and_those_of_no_group() -> None:
    world = World()
    one, both = world.live("a"), world.live("a", "b")
    none, everything = world.live(), world.gateway(lists_groups=False)
    world.delivery.enter(everything)
    world.delivery.join(everything, None)
    world.tell("a", "b", "c", None, "a")
    world.delivery.flush()
    assert world.numbers(one) == [11, 14, 15]
    assert world.numbers(both) == [11, 12, 14, 15]
    assert world.numbers(none) == [14]
    assert world.numbers(everything) == [11, 12, 13, 14, 15]
    assert world.registry.get_sample_value("imc_deliveries_total") == 3 + 4 + 1 + 5


async def test_notices_of_its_groups_come_if_they_are_asked_for() -> None:
    world = World()
    without, with_notices = world.live("a"), world.live("a", push_format=NOTICES)
    world.tell("a", "b", kind=EventKind.NOTICE_PUBLISHED)
    world.tell("a", kind=EventKind.MESSAGE_RECALLED)
    world.delivery.flush()
    assert (world.numbers(without), world.numbers(with_notices)) == ([13], [11, 13])


async def test_an_event_is_encoded_once_for_all_that_hold_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _ in range(20):
        world.live("a", "b")
    encoded: list[int] = []
    encode = frames.pushes

    def count(push_format: PushFormat, epoch: str, entries: Sequence[Entry]) -> list[bytes]:
        encoded.append(len(entries))
        return encode(push_format, epoch, entries)

    monkeypatch.setattr(framed_entries, "pushes", count)
    world.tell("a", "b", "c")
    world.delivery.flush()
    assert encoded == [3]


async def test_groups_count_from_the_position_in_the_answer() -> None:
    world = World()
    gateway = world.live("a")
    world.tell("b")
    world.delivery.hold(gateway, change("b", remove=["a"]))
    world.tell("b", "a")
    world.delivery.flush()
    assert world.numbers(gateway) == [12]
    answer = world.got[gateway][-2]
    assert (answer["code"], answer["data"], answer["cursor"]) == (2007, 1, str(at(11)))


async def test_a_list_in_several_frames_counts_from_2000_on() -> None:
    world = World()
    gateway = world.gateway()
    world.delivery.enter(gateway)
    world.delivery.join(gateway, None)
    world.tell("a", "b")
    world.delivery.hold(gateway, change("a", more=True))
    world.tell("a", "b")
    world.delivery.flush()
    assert gateway.state is State.LISTING
    world.delivery.hold(gateway, change("b"))
    assert gateway.state is State.RESUMING
    world.replay(gateway, START + 4)
    world.delivery.reach_head(gateway)
    assert world.numbers(gateway) == [11, 12, 13, 14]
    positions = [frame["cursor"] for frame in world.got[gateway] if frame["code"] in (2000, 2007)]
    assert positions == [str(at(START))] * 3


def test_a_cursor_is_proven_before_the_list_comes() -> None:
    world = World()
    gateway = world.gateway()
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(5))
    assert world.codes(gateway) == []
    world.delivery.await_list(gateway)
    (greeting,) = world.got[gateway]
    assert (greeting["cursor"], greeting["recovered"]) == (str(at(5)), True)


def test_a_cursor_that_nothing_proves_is_announced_before_the_list_comes() -> None:
    world = World(has_archive=False)
    gateway = world.gateway()
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(5))
    world.delivery.leave_log(gateway)
    assert (gateway.state, world.codes(gateway)) == (State.LISTING, [2000, 4002])
    world.delivery.hold(gateway, change("a"))
    assert gateway.state is State.LIVE


def test_one_that_goes_back_to_a_fork_may_list_before_that_is_read() -> None:
    world = World()
    gateway = world.gateway()
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(9))
    world.delivery.go_back(gateway, at(5))
    world.delivery.hold(gateway, change("a"))
    assert (gateway.state, gateway.has_listed) == (State.RESUMING, True)
    world.replay(gateway, START)
    world.delivery.reach_head(gateway)
    assert world.numbers(gateway) == [6, 7, 8, 9, 10]


async def test_a_quiet_gateway_is_told_its_position_once() -> None:
    world = World()
    quiet, busy = world.live("quiet"), world.live("a")
    world.tell("a")
    world.delivery.tell_positions()
    assert world.got[quiet][-1]["code"] == 2008
    assert world.got[quiet][-1]["cursor"] == str(at(11))
    assert 2008 not in world.codes(busy), "its push has told it"
    assert world.delivery.owes_positions
    world.delivery.tell_positions()
    world.delivery.tell_positions()
    assert world.codes(quiet).count(2008) == 1
    assert world.codes(busy).count(2008) == 1
    assert not world.delivery.owes_positions


def test_too_many_groups_are_refused_whole() -> None:
    world = World()
    gateway = world.live(*(f"g{number}" for number in range(10_000)))
    for part in range(1, MAX_GROUPS // 10_000):
        world.delivery.hold(gateway, change(*(f"g{part}-{number}" for number in range(10_000))))
    before = list(world.got[gateway])
    with pytest.raises(Refused, match=r"addGroups .* 100000 groups, and would hold 100001") as refused:
        world.delivery.hold(gateway, change("one", "g5"))
    assert refused.value.code is ErrorCode.INVALID_FIELD
    assert world.got[gateway] == before
    world.delivery.hold(gateway, change("one", remove=["g5"]))
    assert world.got[gateway][-1]["data"] == MAX_GROUPS


def test_a_node_has_room_for_so_many_groups_and_gets_it_back() -> None:
    room = GroupRoom(3)
    world, other = World(room=room), World(room=room)
    first, second = world.live("a", "b"), other.live("a")
    with pytest.raises(Refused, match="this node hold all 3 groups") as refused:
        other.delivery.hold(second, change("b", "c", remove=["a"]))
    assert refused.value.code is ErrorCode.UNAVAILABLE
    other.delivery.hold(second, change("b", remove=["a"]))
    world.delivery.leave(first)
    assert room.held == 1
    other.delivery.leave(second)
    assert room.held == 0


async def test_one_that_held_many_groups_is_forgotten_in_steps() -> None:
    room = GroupRoom()
    world = World(room=room)
    many = [f"g{number}" for number in range(9000)]
    gateway, other = world.live(*many), world.live(*many[:5], "a")
    world.delivery.leave(gateway)
    assert room.held == 6 + 7000
    world.tell("g0", "g8999", "a")
    world.delivery.flush()
    await wait_until(lambda: room.held == 6)
    world.tell("g1")
    world.delivery.flush()
    assert world.numbers(gateway) == []
    assert world.numbers(other) == [11, 13, 14]


async def test_a_gap_is_announced_to_those_with_a_list() -> None:
    world = World()
    gateway = world.live("a")
    world.delivery.jump(Cursor("other", EntryId(5, 0)))
    assert world.codes(gateway) == [2000, 2007, 4002]
    assert world.registry.get_sample_value("imc_gaps_total") == 1


GROUPS = ["a", "b", "c"]
some_groups = st.lists(st.sampled_from(GROUPS), max_size=3, unique=True)
choices = st.integers(0, 9)


class Deliveries(RuleBasedStateMachine):
    """Legal events in any order: each gateway gets every event of its groups once, in order, and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.world = World()
        self.delivery = self.world.delivery
        self.starts: dict[Gateway, int] = {}
        """The entry before the first that each gateway may get."""
        self.held: dict[Gateway, list[tuple[int, frozenset[str]]]] = {}
        """What each gateway holds after which entry."""
        self.gaps: dict[Gateway, set[int]] = {}

    def call(self, function: Callable[..., None], *arguments: Any, **options: Any) -> None:
        async def run() -> None:
            function(*arguments, **options)

        self.loop.run_until_complete(run())

    def choose(self, at: int, *states: State) -> Gateway:
        gateways = sorted(self.delivery.gateways_in(*states), key=list(self.world.got).index)
        return gateways[at % len(gateways)]

    def has(self, *states: State) -> bool:
        return self.delivery.number_in(*states) > 0

    @rule(push_format=st.sampled_from([V1, NOTICES]), back=st.none() | st.integers(0, 5))
    def connect(self, push_format: PushFormat, back: int | None) -> None:
        gateway = self.world.gateway(push_format)
        self.call(self.delivery.enter, gateway)
        start = len(self.world.log) - (back or 0)
        self.call(self.delivery.join, gateway, None if back is None else at(start))
        self.starts[gateway] = start

    @precondition(lambda self: self.has(State.LISTING, State.LIVE, *REPLAYS))
    @rule(choice=choices, add=some_groups, remove=some_groups, more=st.booleans())
    def hold(self, choice: int, add: list[str], remove: list[str], more: bool) -> None:
        gateway = self.choose(choice, State.LISTING, State.LIVE, *REPLAYS)
        if not gateway.is_greeted:
            return
        self.call(self.delivery.hold, gateway, change(*add, remove=remove, more=more))
        answer = self.world.got[gateway][-1]
        history = self.held.setdefault(gateway, [])
        before = history[-1][1] if history else frozenset[str]()
        now = before.difference(remove).union(add)
        assert (answer["code"], answer["data"]) == (2007, len(now))
        history.append((Cursor.parse(answer["cursor"]).entry.ms, now))

    @rule(
        groups=st.lists(st.sampled_from([*GROUPS, None]), min_size=1, max_size=4),
        kind=st.sampled_from(EventKind),
    )
    def tell(self, groups: list[str | None], kind: EventKind) -> None:
        self.call(self.world.tell, *groups, kind=kind)

    @rule()
    def flush(self) -> None:
        self.call(self.delivery.flush)

    @rule()
    def tell_positions(self) -> None:
        self.call(self.delivery.tell_positions)

    @precondition(lambda self: self.has(*CONNECTED))
    @rule(choice=choices, is_full=st.booleans())
    def buffer(self, choice: int, is_full: bool) -> None:
        event = self.delivery.on_full if is_full else self.delivery.on_room
        self.call(event, self.choose(choice, *CONNECTED))

    @precondition(lambda self: self.has(*REPLAYS))
    @rule(choice=choices, count=st.integers(0, 4))
    def replay(self, choice: int, count: int) -> None:
        gateway = self.choose(choice, *REPLAYS)
        self.call(self.delivery.flush)
        if not gateway.has_listed:
            self.call(self.delivery.await_list, gateway)
            return
        self.call(self.world.replay, gateway, min(gateway.position.entry.ms + count, len(self.world.log)))
        if gateway.position == self.delivery.outbox.head and gateway.state in READS_LOG:
            self.call(self.delivery.reach_head, gateway)

    @precondition(lambda self: self.has(*READS_LOG))
    @rule(choice=choices)
    def leave_log(self, choice: int) -> None:
        self.call(self.delivery.leave_log, self.choose(choice, *READS_LOG))

    @precondition(lambda self: self.has(State.READING_ARCHIVE))
    @rule(choice=choices)
    def reach_log(self, choice: int) -> None:
        gateway = self.choose(choice, State.READING_ARCHIVE)
        self.call(self.delivery.reach_log, gateway, gateway.position)

    @precondition(lambda self: self.has(*REPLAYS))
    @rule(choice=choices)
    def give_up(self, choice: int) -> None:
        gateway = self.choose(choice, *REPLAYS)
        start, end = gateway.position.entry.ms, len(self.world.log)
        self.call(self.delivery.give_up, gateway)
        self.gaps.setdefault(gateway, set()).update(range(start + 1, end + 1))

    @precondition(lambda self: self.has(*CONNECTED))
    @rule(choice=choices)
    def leave(self, choice: int) -> None:
        gateway = self.choose(choice, *CONNECTED)
        self.call(self.delivery.leave, gateway)
        got = len(self.world.got[gateway])
        self.call(self.world.tell, None)
        self.call(self.delivery.flush)
        assert len(self.world.got[gateway]) == got, "it has left"

    def expected(self, gateway: Gateway) -> list[int]:
        return [
            number
            for number, each in enumerate(self.world.log, 1)
            if number > self.starts[gateway]
            and number not in self.gaps.get(gateway, ())
            and (gateway.format.has_notices or not each.kind.is_notice)
            and (each.group_id is None or each.group_id in self.held_at(gateway, number))
        ]

    def held_at(self, gateway: Gateway, number: int) -> frozenset[str]:
        held = [groups for after, groups in self.held.get(gateway, []) if after < number]
        return held[-1] if held else frozenset()

    @invariant()
    def every_event_of_its_groups_is_pushed_once_in_order(self) -> None:
        for gateway in self.world.got:
            codes = self.world.codes(gateway)
            assert codes[:1] in ([], [2000])
            assert codes.count(2000) == min(1, len(codes))
            expected = self.expected(gateway)
            numbers = self.world.numbers(gateway)
            assert numbers == expected[: len(numbers)]
            if gateway.state is State.LIVE and self.delivery.outbox.is_empty:
                assert numbers == expected

    @invariant()
    def a_position_is_told_only_when_everything_until_there_is_written(self) -> None:
        for gateway, got in self.world.got.items():
            expected, numbers = self.expected(gateway), list[int]()
            for frame in got:
                if frame["code"] in PUSHES:
                    numbers.append(frame["data"]["n"])
                elif frame["code"] in (2007, 2008):
                    position = Cursor.parse(frame["cursor"]).entry.ms
                    assert numbers == [number for number in expected if number <= position]

    def teardown(self) -> None:
        for gateway in self.delivery.gateways:
            self.call(self.delivery.leave, gateway)
        assert self.delivery._listed._room.held == 0  # pyright: ignore[reportPrivateUsage]
        self.loop.close()


def test_any_sequence_of_legal_events_keeps_the_promises() -> None:
    examples = settings(
        max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, database=None
    )
    run_state_machine_as_test(Deliveries, settings=examples)
