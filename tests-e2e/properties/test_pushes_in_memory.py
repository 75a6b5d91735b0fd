"""Compares the pushes of an app with a simple model, while events happen in random order.

Two push-nodes, made of the real parts, follow one app's log in an in-memory Redis, in virtual time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from imc_command_api.domain.ids import EPOCH_MS
from imc_command_api.handlers.ports import AlreadyRetired, Appended, Outcome, Recall, Repeated, Sending, Write
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import events, names
from imc_contracts.codes import CloseCode
from imc_contracts.cursor import UNBORN, Cursor, EntryId
from imc_contracts.events import RecallMark, read_message
from imc_contracts.policies import Policies
from imc_contracts.views import Message, recalled
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.log_reader import LogReader
from imc_service.redis.masters import Masters
from imc_testkit.memory_redis import Keys, MemoryRedis
from imc_testkit.memory_socket import MemorySocket
from imc_testkit.push_model import (
    ConnectionModel,
    JavaConnectionModel,
    ListedConnectionModel,
    LogModel,
    Moment,
)
from imc_testkit.virtual_time import VirtualTimeLoop
from prometheus_client import CollectorRegistry, Counter

APP = "app"
GROUPS = "gh"
START_MS = 1_800_000_000_000
SETTLE_SECONDS = 8.0

EXAMPLES = settings(
    phases=[Phase.generate],
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
)
"""The same examples in each run. Add `Phase.shrink` to shrink a failing one, which takes minutes."""

MAX_SERVERS = 3
"""How many Redis servers a run has at most, one after the other."""

nodes = st.integers(0, 1)
choices = st.integers(0, 99)
"""An index from the newest item backwards, modulo the number of items."""


class Link:
    """One connection: the node's socket, and the model of what the gateway receives."""

    def __init__(
        self,
        gateway_id: str,
        node: Any,
        push_format: PushFormat,
        model: ConnectionModel,
        now: Callable[[], Moment],
    ) -> None:
        self.gateway_id = gateway_id
        self.node = node
        self.is_exclusive = push_format.has_cursors
        self.model = model
        self.socket = MemorySocket(lambda frame: model.take(frame, now()))


@dataclass(frozen=True)
class Replica:
    """The state of a stale replica of Redis."""

    keys: Any
    log: LogModel
    sent: list[tuple[Write, Cursor]]
    recalled: set[int]


class PushMachine(RuleBasedStateMachine):
    """Rules make events happen; `settle`, the invariant and `teardown` check the result."""

    def __init__(self, node: Callable[..., Any]) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.turn = 0
        self.keys = Keys(lambda: START_MS + int(self.loop.time() * 1000))
        self.keys.on_publish = self.publish
        masters = Masters(cast(Any, MemoryRedis(self.keys)))
        quota = SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
        self.script = AppendScript(masters, Limits(10_000, lambda: 60_000, 60_000), quota)
        self.log = LogModel(lambda: self.keys.hashes[names.log_state(APP)].get(b"unborn", b"").decode())
        self.sent: list[tuple[Write, Cursor]] = []
        self.recalled: set[int] = set()
        self.reader = LogReader(masters, Counter("skipped", "Skipped.", registry=CollectorRegistry()))
        self.cursors: list[Cursor] = [Cursor(UNBORN, EntryId(START_MS, 0))]
        self.links: list[Link] = []
        self.servers = 1
        self.replica: Replica | None = None
        self.nodes: list[Any] = []
        self.run(self.start(node))

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def start(self, node: Callable[..., Any]) -> None:
        self.nodes = [node(self.keys, self.now), node(self.keys, self.now)]

    def now(self) -> Moment:
        self.turn += 1
        return Moment(self.turn, self.loop.time())

    def publish(self, channel: str, payload: bytes) -> None:
        if ":live:" in channel:
            self.log.take(payload, self.now())
        for node in self.nodes:
            node.wire.publish(channel, payload)

    def append(self, *writes: Write) -> list[Outcome]:
        outcomes = self.run(self.script.run(APP, writes))
        self.cursors += [outcome.cursor for outcome in outcomes if isinstance(outcome, Appended)]
        return outcomes

    def listing_links(self) -> list[Link]:
        """Those that list their groups, and are read from."""
        return [
            link
            for link in self.open_links()
            if isinstance(link.model, ListedConnectionModel)
            and link.model.position is not None
            and not link.socket.is_paused
        ]

    def open_links(self) -> list[Link]:
        return [link for link in self.links if not link.socket.has_ended]

    # Events of senders.

    @rule(count=st.integers(1, 5))
    def send(self, count: int) -> None:
        writes = [self.message() for _ in range(count)]
        for write, outcome in zip(writes, self.append(*writes), strict=True):
            assert isinstance(outcome, Appended)
            self.sent.append((write, outcome.cursor))

    @precondition(lambda self: self.sent)
    @rule(at=choices)
    def send_again(self, at: int) -> None:
        write, cursor = choose(self.sent, at)
        assert self.append(write) == [Repeated(cast(Sending, write.sending), str(cursor))]

    @precondition(lambda self: self.sent)
    @rule(at=choices)
    def recall(self, at: int) -> None:
        sent, _ = choose(self.sent, at)
        shown = recalled(read_message(sent.event.body), START_MS, "cause")
        mark = RecallMark(shown["messageId"], START_MS, "cause")
        write = Write(events.message_recalled(shown), sent.id, recall=Recall(shown["createTime"], mark))
        (outcome,) = self.append(write)
        assert isinstance(outcome, AlreadyRetired if sent.id in self.recalled else Appended)
        self.recalled.add(sent.id)

    @rule()
    def publish_notice(self) -> None:
        id_ = self.new_id()
        group = GROUPS[self.turn % len(GROUPS)]
        notice = {"appId": APP, "groupId": group, "userId": "u", "title": None, "content": "notice"}
        times = {"createTime": 1, "deleteTime": 0, "jumpUrl": None, "status": 1, "type": None}
        event = events.notice_published(cast(Any, {"informationId": str(id_), **notice, **times}))
        self.append(Write(event, id_))

    # Events of gateways.

    @rule(
        node=nodes,
        gateway=st.sampled_from("abc"),
        push_format=st.sampled_from(PushFormat),
        at=st.none() | choices,
        lists_groups=st.booleans(),
    )
    def connect(
        self, node: int, gateway: str, push_format: PushFormat, at: int | None, lists_groups: bool
    ) -> None:
        offered = None if at is None or not push_format.has_cursors else choose(self.cursors, at)
        place = self.nodes[node]
        lists_groups = lists_groups and push_format in (PushFormat.V1, PushFormat.V1_WITH_NOTICES)
        model = self.model(place, push_format, offered, lists_groups=lists_groups)
        link = Link(gateway, place, push_format, model, self.now)
        self.links.append(link)

        async def begin() -> None:
            place.connect(link.socket, APP, gateway, push_format, offered, lists_groups=lists_groups)

        self.run(begin())

    @precondition(lambda self: self.listing_links())
    @rule(
        at=choices,
        add=st.frozensets(st.sampled_from(GROUPS)),
        remove=st.frozensets(st.sampled_from(GROUPS)),
        more=st.booleans(),
    )
    def change_groups(self, at: int, add: frozenset[str], remove: frozenset[str], more: bool) -> None:
        link = choose(self.listing_links(), at)

        async def say() -> None:
            link.socket.say(link.model.ask(add, remove, more=more))

        self.run(say())

    @rule()
    def keep_a_cursor(self) -> None:
        """A gateway takes the current position of the log, which may have no entry yet, and leaves."""
        self.cursors.append(self.run(self.reader.state(APP)).point)

    @precondition(lambda self: self.open_links())
    @rule(at=choices)
    def fall_behind(self, at: int) -> None:
        """A gateway stops reading, and more is sent than its buffer holds."""
        choose(self.open_links(), at).socket.stall()
        for count in (3, 2):
            self.send(count)
            self.run(sleep(0.01))

    @precondition(lambda self: self.open_links())
    @rule(at=choices, what=st.sampled_from(["stall", "drain", "hang_up"]))
    def socket_event(self, at: int, what: str) -> None:
        socket = choose(self.open_links(), at).socket

        async def happen() -> None:
            getattr(socket, what)()

        self.run(happen())

    # Events of the network, of Redis and its log.

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.3, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(sleep(seconds))

    @rule(node=nodes, count=st.integers(1, 2))
    def lose_next_published_batches(self, node: int, count: int) -> None:
        self.nodes[node].wire.to_lose = count

    @rule(node=nodes)
    def repeat_a_batch(self, node: int) -> None:
        async def repeat() -> None:
            self.nodes[node].wire.repeat()

        self.run(repeat())

    @rule(
        node=nodes, lag=st.sampled_from([0.0, 0.0, 0.05, 3.0]), latency=st.sampled_from([0.0, 0.0, 0.02, 0.2])
    )
    def network_slows(self, node: int, lag: float, latency: float) -> None:
        place = self.nodes[node]
        place.wire.lag, place.redis.latency = lag, latency
        place.was_hard_to_reach |= lag > 1

    @rule(node=nodes, seconds=st.sampled_from([0.2, 1.0, 7.0]))
    def redis_is_unreachable(self, node: int, seconds: float) -> None:
        self.nodes[node].cut_off(seconds)

    @rule(node=nodes, seconds=st.sampled_from([0.0, 0.3, 1.3]))
    def the_shard_moves(self, node: int, seconds: float) -> None:
        async def move() -> None:
            self.nodes[node].wire.move(seconds)

        self.run(move())

    @rule(keep=st.integers(0, 12))
    def trim(self, keep: int) -> None:
        gone = self.keys.trim(APP, keep)
        epoch = self.log.end.epoch if self.log.end else ""
        self.log.trim({Cursor(epoch, at) for at in gone})

    @rule()
    def replica_catches_up(self) -> None:
        self.replica = Replica(self.keys.snapshot(), self.log.snapshot(), [*self.sent], {*self.recalled})

    @precondition(lambda self: self.servers < MAX_SERVERS)
    @rule(has_data=st.booleans())
    def replica_is_promoted(self, has_data: bool) -> None:
        self.servers += 1
        # Ids contain the time. More than a millisecond passes, so that none is assigned twice.
        self.run(sleep(0.01))
        replica = self.replica if has_data else None
        if replica is None:
            self.keys.empty()
            self.log.restore(None)
            self.sent, self.recalled = [], set()
        else:
            self.keys.restore(replica.keys)
            self.log.restore(replica.log)
            self.sent, self.recalled = [*replica.sent], {*replica.recalled}

    # Checks.

    @rule()
    def settle(self) -> None:
        for node in self.nodes:
            node.redis.is_reachable, node.redis.latency = True, 0.0
            node.wire.lag, node.wire.to_lose = 0.0, 0

        async def drain() -> None:
            for link in self.open_links():
                link.socket.drain()

        self.run(drain())
        self.run(sleep(SETTLE_SECONDS))
        held = [link.gateway_id for link in self.open_links() if link.is_exclusive]
        assert len(set(held)) == len(held), "two connections of one gateway"
        for link in self.open_links():
            link.model.check_settled()

    @invariant()
    def no_push_is_wrong(self) -> None:
        for link in self.links:
            assert not link.model.faults, (link.gateway_id, link.model.faults)
            if link.socket.close_code is CloseCode.TRY_AGAIN_LATER:
                assert link.node.was_hard_to_reach, "refused by a node that can reach its Redis"
            if link.socket.close_code is CloseCode.REPLACED:
                assert link.is_exclusive, "a connection by the Java door was replaced"

    def teardown(self) -> None:
        try:
            self.settle()
            self.no_push_is_wrong()
        finally:
            for node in self.nodes:
                self.run(node.close())
            self.loop.close()

    def model(
        self, node: Any, push_format: PushFormat, offered: Cursor | None, *, lists_groups: bool
    ) -> ConnectionModel:
        knows = lambda at: node.knows(APP, at)  # noqa: E731
        begin = (self.log, offered, push_format.has_notices, self.now(), node.heard, knows)
        if lists_groups:
            return ListedConnectionModel(*begin)
        if push_format.has_cursors:
            return ConnectionModel(*begin)
        return JavaConnectionModel(*begin, head=lambda: node.head(APP), untold_gaps=node.untold_gaps)

    def message(self) -> Write:
        id_, now = self.new_id(), START_MS + int(self.loop.time() * 1000)
        parties = {"appId": APP, "groupId": GROUPS[self.turn % len(GROUPS)], "userId": "u"}
        state = {"recallTime": 0, "recallCause": None, "status": 1, "type": None}
        body = {"messageId": str(id_), **parties, "content": f"text {id_}", "createTime": now, **state}
        event = events.message_sent(cast(Message, body))
        return Write(event, id_, Sending(f"own-{id_}", id_, now, "digest"))

    def new_id(self) -> int:
        self.turn += 1
        return (START_MS + int(self.loop.time() * 1000) - EPOCH_MS << 22) + self.turn


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def choose(list_: list[Any], at: int) -> Any:
    return list_[-1 - at % len(list_)]


def test_pushes_match_the_model(memory_node: Any):
    run(memory_node)


def test_a_planted_fault_is_found(memory_node: Any, planted_fault: str):
    with pytest.raises(AssertionError, match=planted_fault):
        run(memory_node, max_examples=1000)


def run(memory_node: Any, max_examples: int = 150) -> None:
    machine: Any = lambda: PushMachine(memory_node)  # noqa: E731
    run_state_machine_as_test(machine, settings=settings(EXAMPLES, max_examples=max_examples))
