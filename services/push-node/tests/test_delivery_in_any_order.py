"""Legal events of a delivery in any order: the promises hold for gateways of all kinds beside each other."""

from collections.abc import Callable
from typing import Any

import pytest
from delivery_world import PUSHES, World, at, change
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from imc_contracts.cursor import Cursor
from imc_contracts.events import EventKind
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.delivery import CONNECTED, READS_LOG, REPLAYS, IllegalTransition
from imc_testkit.virtual_time import VirtualTimeLoop

GROUPS = ["a", "b", "c"]
LISTING_FORMATS = (PushFormat.V1, PushFormat.V1_WITH_NOTICES)
HOLDING = (State.LISTING, State.LIVE, *REPLAYS)
choices = st.integers(0, 9)
formats = st.sampled_from(PushFormat)
some_groups = st.lists(st.sampled_from(GROUPS), max_size=3, unique=True)
"""What a gateway lists, if its format has lists."""


class Deliveries(RuleBasedStateMachine):
    """Each gateway is in one place, and gets every event that it is to get, once, in order, and no other."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.world = World()
        self.delivery = self.world.delivery
        self.starts: dict[Gateway, int] = {}
        """The entry before the first that each gateway may get."""
        self.held: dict[Gateway, list[tuple[int, frozenset[str]]]] = {}
        """What each gateway that lists groups holds after which entry."""
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

    @rule(push_format=formats, lists=st.booleans())
    def enter(self, push_format: PushFormat, lists: bool) -> None:
        lists_groups = lists and push_format in LISTING_FORMATS
        self.call(self.delivery.enter, self.world.gateway(push_format, lists_groups=lists_groups))

    @precondition(lambda self: self.has(State.CONNECTING))
    @rule(choice=choices, back=st.none() | st.integers(0, 5))
    def join(self, choice: int, back: int | None) -> None:
        gateway = self.choose(choice, State.CONNECTING)
        offered = None if back is None or not gateway.format.has_cursors else at(len(self.world.log) - back)
        self.call(self.delivery.join, gateway, offered)
        self.starts[gateway] = len(self.world.log) if offered is None else offered.entry.ms

    @rule(push_format=formats, groups=some_groups)
    def go_live(self, push_format: PushFormat, groups: list[str]) -> None:
        """Without it few gateways would be live: that takes several steps."""
        lists_groups = push_format in LISTING_FORMATS and bool(groups)
        gateway = self.world.gateway(push_format, lists_groups=lists_groups)
        self.call(self.delivery.enter, gateway)
        self.call(self.delivery.join, gateway, None)
        self.starts[gateway] = len(self.world.log)
        if lists_groups:
            self.hold_groups(gateway, groups, [], more=False)
        assert gateway.state is State.LIVE

    @precondition(lambda self: any(each.groups is not None for each in self.delivery.gateways_in(*HOLDING)))
    @rule(choice=choices, add=some_groups, remove=some_groups, more=st.booleans())
    def hold(self, choice: int, add: list[str], remove: list[str], more: bool) -> None:
        gateway = self.choose(choice, *HOLDING)
        if gateway.groups is not None and gateway.is_greeted:
            self.hold_groups(gateway, add, remove, more=more)

    def hold_groups(self, gateway: Gateway, add: list[str], remove: list[str], *, more: bool) -> None:
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
        self.call(self.world.tell_groups, *groups, kind=kind)

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
        if gateway.format.has_cursors:
            gap = self.world.got[gateway][-1]
            assert (gap["code"], gap["data"]) == (4002, {"from": str(at(start)), "to": str(at(end))})

    @precondition(lambda self: self.has(*CONNECTED))
    @rule(choice=choices)
    def leave(self, choice: int) -> None:
        gateway = self.choose(choice, *CONNECTED)
        self.call(self.delivery.leave, gateway)
        got = len(self.world.got[gateway])
        with pytest.raises(IllegalTransition):
            self.delivery.leave(gateway)
        self.call(self.world.tell, EventKind.MESSAGE_SENT)
        self.call(self.delivery.flush)
        assert len(self.world.got[gateway]) == got, "it has left"

    def expected(self, gateway: Gateway) -> list[int]:
        return [
            number
            for number, each in enumerate(self.world.log, 1)
            if number > self.starts.get(gateway, 0)
            and number not in self.gaps.get(gateway, ())
            and (gateway.format.has_notices or not each.kind.is_notice)
            and (gateway.format.has_cursors or each.kind is not EventKind.ERASURE)
            and self.holds(gateway, each.group_id, number)
        ]

    def holds(self, gateway: Gateway, group_id: str | None, number: int) -> bool:
        held = [groups for after, groups in self.held.get(gateway, []) if after < number]
        return gateway.groups is None or group_id is None or (bool(held) and group_id in held[-1])

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
    def every_event_is_pushed_once_in_order_after_2000(self) -> None:
        for gateway in self.world.got:
            codes = self.world.codes(gateway)
            assert codes[:1] in ([], [2000])
            assert codes.count(2000) == min(1, len(codes))
            expected, numbers = self.expected(gateway), self.world.numbers(gateway)
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
        max_examples=250, stateful_step_count=40, deadline=None, derandomize=True, database=None
    )
    run_state_machine_as_test(Deliveries, settings=examples)
