"""The state of each gateway of an app: which transitions there are, and what each writes."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from delivery_world import START, World, at, entry
from imc_contracts.cursor import EntryId
from imc_contracts.events import Event, EventKind
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.delivery import CONNECTED, READS_LOG, REPLAYS, Delivery, IllegalTransition
from imc_push_node.stream.framed_entries import FramedEntries

V1, NOTICES, JAVA = PushFormat.V1, PushFormat.V1_WITH_NOTICES, PushFormat.JAVA


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


ALL_KINDS = tuple(EventKind)


async def test_each_door_gets_its_own_form_of_a_push() -> None:
    world = World()
    gateways = {push_format: world.live(push_format) for push_format in PushFormat}
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
    world.live(JAVA)
    assert formats() == [JAVA]
    gateway = world.live(V1)
    assert formats() == [JAVA, V1]
    world.delivery.leave(gateway)
    assert formats() == [JAVA]


async def test_a_gap_is_announced_only_where_a_frame_for_it_exists() -> None:
    world = World(has_archive=False)
    v1, java = world.live(V1), world.live(JAVA)
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
    gateway = world.live(JAVA)
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


async def test_what_was_pushed_before_a_gap_is_not_replayed_from_memory_after_it() -> None:
    """It would seem that nothing is missing."""
    world = World()
    world.live(V1)
    world.tell(EventKind.MESSAGE_SENT)
    world.delivery.flush()
    memory = world.delivery.outbox.replay_buffer
    assert memory.holds_after(at(START), V1)
    world.delivery.jump(at(5, "other"))
    assert not memory.holds_after(at(START), V1)


async def test_what_is_erased_is_not_replayed_from_memory() -> None:
    world = World()
    gateway = world.live(V1)
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
    gateway = world.live(V1)
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
