"""Gateways that get only the events of groups that they list: their states, and what each is written."""

from collections.abc import Callable, Sequence

import pytest
from delivery_world import START, World, at, change
from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.errors import Refused
from imc_contracts.events import Entry, EventKind
from imc_contracts.fields import MAX_GROUPS
from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream import framed_entries
from imc_push_node.stream.delivery import CONNECTED, READS_LOG, REPLAYS, Delivery, IllegalTransition
from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.listed_gateways import GroupRoom
from imc_testkit.waiting import wait_until

V1, NOTICES = PushFormat.V1, PushFormat.V1_WITH_NOTICES


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
    gateway = world.gateway(lists_groups=True)
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
    one, both = world.live_with("a"), world.live_with("a", "b")
    none, everything = world.live_with(), world.live()
    world.tell_groups("a", "b", "c", None, "a")
    world.delivery.flush()
    assert world.numbers(one) == [11, 14, 15]
    assert world.numbers(both) == [11, 12, 14, 15]
    assert world.numbers(none) == [14]
    assert world.numbers(everything) == [11, 12, 13, 14, 15]
    assert world.registry.get_sample_value("imc_deliveries_total") == 3 + 4 + 1 + 5


async def test_notices_of_its_groups_come_if_they_are_asked_for() -> None:
    world = World()
    without, with_notices = world.live_with("a"), world.live_with("a", push_format=NOTICES)
    world.tell_groups("a", "b", kind=EventKind.NOTICE_PUBLISHED)
    world.tell_groups("a", kind=EventKind.MESSAGE_RECALLED)
    world.delivery.flush()
    assert (world.numbers(without), world.numbers(with_notices)) == ([13], [11, 13])


async def test_an_event_is_encoded_once_for_all_that_hold_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _ in range(20):
        world.live_with("a", "b")
    encoded: list[int] = []
    encode = frames.pushes

    def count(push_format: PushFormat, epoch: str, entries: Sequence[Entry]) -> list[bytes]:
        encoded.append(len(entries))
        return encode(push_format, epoch, entries)

    monkeypatch.setattr(framed_entries, "pushes", count)
    world.tell_groups("a", "b", "c")
    world.delivery.flush()
    assert encoded == [3]


async def test_groups_count_from_the_position_in_the_answer() -> None:
    world = World()
    gateway = world.live_with("a")
    world.tell_groups("b")
    world.delivery.hold(gateway, change("b", remove=["a"]))
    world.tell_groups("b", "a")
    world.delivery.flush()
    assert world.numbers(gateway) == [12]
    answer = world.got[gateway][-2]
    assert (answer["code"], answer["data"], answer["cursor"]) == (2007, 1, str(at(11)))


async def test_a_list_in_several_frames_counts_from_2000_on() -> None:
    world = World()
    gateway = world.gateway(lists_groups=True)
    world.delivery.enter(gateway)
    world.delivery.join(gateway, None)
    world.tell_groups("a", "b")
    world.delivery.hold(gateway, change("a", more=True))
    world.tell_groups("a", "b")
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
    gateway = world.gateway(lists_groups=True)
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(5))
    assert world.codes(gateway) == []
    world.delivery.await_list(gateway)
    (greeting,) = world.got[gateway]
    assert (greeting["cursor"], greeting["recovered"]) == (str(at(5)), True)


def test_a_cursor_that_nothing_proves_is_announced_before_the_list_comes() -> None:
    world = World(has_archive=False)
    gateway = world.gateway(lists_groups=True)
    world.delivery.enter(gateway)
    world.delivery.join(gateway, at(5))
    world.delivery.leave_log(gateway)
    assert (gateway.state, world.codes(gateway)) == (State.LISTING, [2000, 4002])
    world.delivery.hold(gateway, change("a"))
    assert gateway.state is State.LIVE


def test_one_that_goes_back_to_a_fork_may_list_before_that_is_read() -> None:
    world = World()
    gateway = world.gateway(lists_groups=True)
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
    quiet, busy = world.live_with("quiet"), world.live_with("a")
    world.tell_groups("a")
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
    gateway = world.live_with(*(f"g{number}" for number in range(10_000)))
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
    first, second = world.live_with("a", "b"), other.live_with("a")
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
    gateway, other = world.live_with(*many), world.live_with(*many[:5], "a")
    world.delivery.leave(gateway)
    assert room.held == 6 + 7000
    world.tell_groups("g0", "g8999", "a")
    world.delivery.flush()
    await wait_until(lambda: room.held == 6)
    world.tell_groups("g1")
    world.delivery.flush()
    assert world.numbers(gateway) == []
    assert world.numbers(other) == [11, 13, 14]


async def test_a_gap_is_announced_to_those_with_a_list() -> None:
    world = World()
    gateway = world.live_with("a")
    world.delivery.jump(Cursor("other", EntryId(5, 0)))
    assert world.codes(gateway) == [2000, 2007, 4002]
    assert world.registry.get_sample_value("imc_gaps_total") == 1
