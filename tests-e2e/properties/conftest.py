"""A push-node over a Redis in memory, and the faults that must not stay unnoticed in it."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, cast

import hiredis
import pytest
import structlog
from imc_contracts import names
from imc_contracts.commands import ChangeGroups
from imc_contracts.cursor import Cursor
from imc_contracts.events import LiveBatch, read_live_batch, read_message
from imc_contracts.policies import Policies
from imc_push_node.cluster.admission import Admission
from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.monitor import Monitor
from imc_push_node.cluster.stuck_gateways import StuckGateways
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.gateway.changed_gateways import ChangedGateways
from imc_push_node.gateway.gateway import Gateway, State
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.http.connection import Arrival, Connections
from imc_push_node.http.doors import JAVA, V1
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.channels import ChannelListener
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.follower import Follower
from imc_push_node.stream.framed_entries import Pushes
from imc_push_node.stream.hub import App, Hub
from imc_push_node.stream.log_reader import LogReader
from imc_push_node.stream.log_state import Stretch
from imc_push_node.stream.recall_marks import RecallMarks
from imc_push_node.stream.recent_pages import LogPage
from imc_service.activity import Activity
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.grant import EVERYTHING
from imc_service.redis.masters import Masters
from imc_testkit.memory_redis import Keys, MemoryRedis
from imc_testkit.memory_socket import MemorySocket
from imc_testkit.push_model import NEVER, Moment
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Unreachable

APP = "app"
PAGE = 3
BUFFER_BYTES = 600
STALL_SECONDS = 20.0


class Wire:
    """The Pub/Sub connection of a node: everything takes ``lag`` seconds on it, and some things are lost."""

    def __init__(self, redis: MemoryRedis) -> None:
        self._redis = redis
        self.lag = 0.0
        self.to_lose = 0
        """How many batches are lost next."""
        self.database = 0
        self.on_heard: Callable[[bytes], None]
        self._listeners: dict[str, ChannelListener] = {}
        self._under_way: deque[Callable[[], object]] = deque()
        self._last_due = 0.0
        self._newest: tuple[str, bytes] | None = None
        self._has_moved = False
        """Whether the shard is on another master, which is not listened to yet."""

    def subscribe(self, shard: int, channel: str, listener: ChannelListener) -> None:
        assert names.shard_of(APP) == shard
        self._listeners[channel] = listener
        if not self._has_moved:
            self._later(listener.on_subscribed)

    def unsubscribe(self, shard: int, channel: str) -> None:
        assert names.shard_of(APP) == shard
        self._listeners.pop(channel, None)

    def by_master(self, shards: Iterable[int]) -> list[list[int]]:
        return [] if self._has_moved else [list(shards)]

    async def ask(self, shards: Iterable[int], commands: bytes, count: int) -> list[Any]:
        assert set(shards) == {names.shard_of(APP)}
        if self._has_moved or not self._redis.is_reachable:
            raise Unreachable("out of reach")
        reader = hiredis.Reader()
        reader.feed(commands)
        replies = [self._carry_out(*cast("list[bytes]", reader.gets())) for _ in range(count)]
        answered = asyncio.get_running_loop().create_future()
        self._later(lambda: answered.done() or answered.set_result(replies))
        return await answered

    def _carry_out(self, name: bytes, *arguments: bytes) -> Any:
        key, *rest = [argument.decode() for argument in arguments] or [""]
        keys = self._redis.keys
        return {
            b"TIME": keys.time,
            b"HMGET": lambda: keys.hmget(key, rest),
            b"ZMSCORE": lambda: keys.zmscore(key, rest),
            b"XRANGE": lambda: _listed(keys.xrange(key, rest[0], rest[1], int(rest[3]))),
            b"XREVRANGE": lambda: _listed(keys.xrevrange(key, count=int(rest[3]))),
        }[name]()

    def publish(self, channel: str, payload: bytes) -> None:
        """Called within Redis, once for each message."""
        if self._has_moved or channel not in self._listeners:
            return
        if ":live:" in channel:
            self._newest = channel, payload
            if self.to_lose:
                self.to_lose -= 1
                return
        self._later(lambda: self._hear(channel, payload))

    def repeat(self) -> None:
        """The newest batch comes once more, whether or not it was lost."""
        if self._newest is not None:
            channel, payload = self._newest
            self._later(lambda: self._hear(channel, payload))

    def move(self, seconds: float) -> None:
        """The shard moves to another master, which is listened to after so long."""
        self._has_moved = True
        asyncio.get_running_loop().call_later(seconds, self._has_arrived)

    def _has_arrived(self) -> None:
        self._has_moved = False
        for listener in self._listeners.values():
            self._later(listener.on_subscribed)

    def _hear(self, channel: str, payload: bytes) -> None:
        listener = self._listeners.get(channel)
        if listener is not None:
            if ":live:" in channel:
                self.on_heard(payload)
            listener.on_message(payload)

    def _later(self, arrive: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        self._last_due = max(loop.time() + self.lag, self._last_due)
        self._under_way.append(arrive)
        loop.call_at(self._last_due, lambda: self._under_way.popleft()())


def _listed(entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[Any]:
    """Entries as they come from a server."""
    return [[at, [part for pair in fields.items() for part in pair]] for at, fields in entries]


class _SmallPages(LogReader):
    async def after(self, app_id: str, start: Cursor, limit: int = PAGE) -> Stretch:
        return await super().after(app_id, start, limit)


class MemoryNode:
    """A push-node of real parts, over a Redis in memory; ``now`` is the machine's clock."""

    def __init__(self, keys: Keys, now: Callable[[], Moment]) -> None:
        self.redis = MemoryRedis(keys)
        self.wire = Wire(self.redis)
        self.wire.on_heard = self._note
        self.was_hard_to_reach = False
        self._loop = asyncio.get_running_loop()
        self._now = now
        self._heard: dict[str, Moment] = {}
        masters, subscriber = Masters(cast(Redis, self.redis)), cast(Any, self.wire)
        self._registry = CollectorRegistry()
        metrics = NodeMetrics(self._registry)
        reader = _SmallPages(masters, metrics.skipped)
        self.hub = Hub(
            reader=reader,
            archive=None,
            subscriber=subscriber,
            metrics=metrics,
            linger_seconds=2,
            changed=ChangedGateways(),
            activity=Activity(masters),
            on_disconnected=lambda _app_id, _command, _closed: None,
        )
        takeover = Takeover(masters, self.hub)
        policies = Policies()
        gatekeeper = Gatekeeper(None, policies)
        gateway_quota = GatewayQuota(masters, policies, metrics.gateway_quota_refusals)
        watch = Monitor(self.hub, takeover, subscriber, STALL_SECONDS)
        nothing_is_sent = cast(Any, None)
        drain = Drain(self.hub, nothing_is_sent, 0)
        tokens = TokenExpiry(gatekeeper, metrics.frames_refused)
        self._connections = Connections(
            self.hub,
            takeover,
            Admission(policies, gatekeeper, self.hub),
            gateway_quota,
            nothing_is_sent,
            drain,
            tokens,
            StuckGateways(),
            metrics,
            BUFFER_BYTES,
            1000,
        )
        self._tasks = [asyncio.create_task(part) for part in (takeover.run(), watch.run())]

    def connect(
        self,
        socket: MemorySocket,
        app_id: str,
        gateway_id: str,
        push_format: PushFormat,
        cursor: Cursor | None,
        *,
        lists_groups: bool = False,
    ) -> None:
        """Begin to let a gateway in."""
        door = V1 if push_format.has_cursors else JAVA
        slot = door.slot(gateway_id)
        arrival = Arrival(door, app_id, gateway_id, slot, push_format, cursor, EVERYTHING, lists_groups)
        self._tasks.append(asyncio.create_task(self._connections.open(cast(Any, socket), arrival)))

    def heard(self, message_id: str) -> Moment:
        """When it last heard of a message as it was published."""
        return self._heard.get(message_id, NEVER)

    def knows(self, app_id: str, cursor: Cursor) -> bool:
        """Whether all up to an entry is told here."""
        app = self._app(app_id)
        if app is None or not app.delivery.outbox.has_begun:
            return False
        head = self.head(app_id)
        return head.epoch == cursor.epoch and head.entry >= cursor.entry

    def head(self, app_id: str) -> Cursor:
        """The position that the live gateways of a followed app have reached."""
        app = self._app(app_id)
        assert app is not None, f"{app_id} has no gateways here"
        return app.delivery.outbox.head

    def untold_gaps(self) -> float:
        """How many gaps of gateways of the Java door it has counted."""
        return self._registry.get_sample_value("imc_gaps_untold_total") or 0.0

    def cut_off(self, seconds: float) -> None:
        """Redis answers nothing for so long; what it publishes comes through."""
        self.was_hard_to_reach = True
        self.redis.is_reachable = False
        self._loop.call_later(seconds, self.reconnect)

    def reconnect(self) -> None:
        """Redis answers again."""
        self.redis.is_reachable = True

    async def close(self) -> None:
        """End all its parts; raises what they raised."""
        self.hub.close()
        for task in self._tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _app(self, app_id: str) -> App | None:
        return next((app for app in self.hub.apps if app.app_id == app_id), None)

    def _note(self, payload: bytes) -> None:
        for entry in read_live_batch(payload).entries:
            if not entry.kind.is_notice:
                self._heard[read_message(entry.body)["messageId"]] = self._now()


@pytest.fixture
def memory_node() -> type[MemoryNode]:
    """Made within a running loop."""
    return MemoryNode


@pytest.fixture(autouse=True)
def only_grave_logs() -> Generator[None]:
    """State machines bring about faults by the thousand."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


def no_hole_repair(patch: pytest.MonkeyPatch) -> None:
    """A batch is told whether or not it follows."""
    fits = Follower._fits

    def fits_anyhow(follower: Follower, batch: LiveBatch) -> bool:
        head = follower._outbox.head
        is_new = batch.epoch == head.epoch and batch.prev > head.entry
        return fits(follower, batch._replace(prev=head.entry) if is_new else batch)

    patch.setattr(Follower, "_fits", fits_anyhow)


def no_look_at_the_replay_buffer(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether the newest batch was lost."""
    patch.setattr(Follower, "check", lambda *_: False)


def no_masking(patch: pytest.MonkeyPatch) -> None:
    """The log is replayed as it was written."""

    async def mask(*_: Any) -> None:
        """Leave the content where it is."""

    patch.setattr(RecallMarks, "mask", mask)


def position_off_by_one(patch: pytest.MonkeyPatch) -> None:
    """A gateway that begins to read the log is brought up from one entry before its position."""
    move = Delivery._move

    def move_before(delivery: Delivery, gateway: Gateway, to: State) -> None:
        if to in (State.LAGGING, State.RESUMING):
            position = gateway.position
            gateway.position = position._replace(entry=position.entry.preceding)
        move(delivery, gateway, to)

    patch.setattr(Delivery, "_move", move_before)


def no_replay_at_the_java_door(patch: pytest.MonkeyPatch) -> None:
    """A gateway of the Java door that falls behind gets live pushes only."""
    push = Delivery.push

    def push_to_v1(delivery: Delivery, gateway: Gateway, pushes: Pushes, end: Cursor, **how: bool) -> None:
        kept = pushes if gateway.format.has_cursors else pushes._replace(frames=b"")
        push(delivery, gateway, kept, end, **how)

    patch.setattr(Delivery, "push", push_to_v1)


def list_counts_from_the_head(patch: pytest.MonkeyPatch) -> None:
    """A gateway that has listed its groups is live at once, whatever came before that."""
    hold = Delivery.hold

    def hold_at_the_head(delivery: Delivery, gateway: Gateway, change: ChangeGroups) -> None:
        delivery.flush()
        if gateway.state is State.LISTING:
            gateway.position = delivery.outbox.head
        hold(delivery, gateway, change)

    patch.setattr(Delivery, "hold", hold_at_the_head)


def no_list_in_replays(patch: pytest.MonkeyPatch) -> None:
    """What is read from the log is pushed of all groups."""
    after = LogPage.after
    patch.setattr(LogPage, "after", lambda page, point, push_format, _groups: after(page, point, push_format))


def no_retire_guard(patch: pytest.MonkeyPatch) -> None:
    """The log takes a recall however often it comes."""
    append = Keys._append_one

    def append_anyhow(
        keys: Keys, names: Sequence[str], app_id: str, write: Sequence[Any], lines: list[bytes]
    ) -> bytes:
        keys.hashes[names[int(write[3]) - 1]].pop(b"%d %b" % (write[2], app_id.encode()), None)
        return append(keys, names, app_id, write, lines)

    patch.setattr(Keys, "_append_one", append_anyhow)


def older_connections_stay(patch: pytest.MonkeyPatch) -> None:
    """A newer connection of a gateway replaces none."""
    patch.setattr(App, "replace", lambda *_: None)


FINDINGS = {
    # A gateway that wants no notices may see nothing behind the hole.
    no_hole_repair: "does not follow|got pushes up to",
    no_look_at_the_replay_buffer: "got pushes up to",
    no_masking: "was recalled",
    position_off_by_one: "does not follow|resumes from",
    no_replay_at_the_java_door: "does not follow|got pushes up to",
    list_counts_from_the_head: "leaves out what follows",
    no_list_in_replays: "which is not held",
    no_retire_guard: "recalled twice",
    older_connections_stay: "two connections",
}


@pytest.fixture(params=FINDINGS, ids=lambda plant: plant.__name__)
def planted_fault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A part of the node is broken; what is said when that is found."""
    request.param(monkeypatch)
    return FINDINGS[request.param]
