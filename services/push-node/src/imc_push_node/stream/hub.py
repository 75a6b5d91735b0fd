"""The apps that have gateways on this node. No I/O of its own."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from imc_contracts import names
from imc_contracts.codes import CloseCode
from imc_contracts.cursor import Cursor
from imc_service.activity import Activity
from imc_service.tracing.tracing import Tracing

from imc_push_node.gateway.changed_gateways import ChangedGateways
from imc_push_node.gateway.gateway import Gateway
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import poll
from imc_push_node.stream.appointments import Appointments
from imc_push_node.stream.archive import Archive
from imc_push_node.stream.archive_replay import ArchiveReplay
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.follower import Follower
from imc_push_node.stream.listed_gateways import GroupRoom
from imc_push_node.stream.log_reader import LogReader
from imc_push_node.stream.log_replay import LogReplay
from imc_push_node.stream.recent_pages import RecentPages


@dataclass(eq=False)
class App:
    """One app on this node."""

    app_id: str
    follower: Follower
    delivery: Delivery
    replays: list[asyncio.Task[None]]
    newest: dict[str, Gateway] = field(default_factory=dict[str, Gateway])
    """Of each gatewayId the newest registered connection."""
    release: asyncio.TimerHandle | None = None
    settled_head: Cursor | None = None
    """The head when the last look at the log found nothing missed; None if it did not."""

    def __post_init__(self) -> None:
        self.shard = names.shard_of(self.app_id)
        self.poll_command = poll.about(self.app_id)

    @property
    def is_unsettled(self) -> bool:
        """Whether something may be missed, or the head has moved since that was known."""
        return not self.delivery.outbox.has_begun or self.delivery.outbox.head != self.settled_head

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs to be checked until something happens, but for what is forgotten later."""
        delivery = self.delivery
        return not (self.is_unsettled or delivery.full or delivery.owes_positions)

    def replace(self, gateway_id: str, number: int) -> None:
        """Close the connection of a gatewayId if ``number`` is a newer one, here or elsewhere."""
        newest = self.newest.get(gateway_id)
        if newest is not None and newest.number < number:
            newest.replace()

    def disconnect(self, gateway_id: str, reason: str) -> int:
        """Close the connections of a gatewayId, of both doors; returns how many that were."""
        found = [
            gateway
            for gateway in self.delivery.gateways
            if gateway.gateway_id == gateway_id and not gateway.socket.has_ended
        ]
        for gateway in found:
            gateway.socket.close(CloseCode.DISCONNECTED, reason)
        return len(found)

    def close(self) -> None:
        """Read nothing more."""
        self.follower.close()
        for replay in self.replays:
            replay.cancel()


class _Batches:
    """The channel of an app's published batches."""

    def __init__(self, follower: Follower) -> None:
        self.on_subscribed = follower.resync
        self.on_message = follower.on_published


OnDisconnected = Callable[[str, str, int], object]
"""Told what a command to disconnect has closed here: the app, the command, how many connections."""


class _Connections:
    """The channel of an app's new connections, and of those that shall end."""

    def __init__(self, app: App, on_disconnected: OnDisconnected) -> None:
        self._app = app
        self._on_disconnected = on_disconnected

    def on_subscribed(self) -> None:
        """What was missed is among the changes that are read each second."""

    def on_message(self, payload: bytes) -> None:
        news = names.read_news(payload)
        if news is not None:
            self._app.replace(*news)
        elif (command := names.read_disconnect(payload)) is not None:
            closed = self._app.disconnect(command.gateway_id, command.reason)
            if closed:
                self._on_disconnected(self._app.app_id, command.command, closed)


class Hub:
    """Follows each app from its first gateway on, until some time after the last one left."""

    def __init__(
        self,
        reader: LogReader,
        subscriber: Subscriber,
        metrics: NodeMetrics,
        linger_seconds: float,
        changed: ChangedGateways,
        activity: Activity,
        on_disconnected: OnDisconnected,
        archive: Archive | None = None,
        room: GroupRoom | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """``room`` is how many groups gateways may list."""
        self._tracing = tracing
        self.changed = changed
        """The gateways that have changed."""
        self._activity = activity
        self._on_disconnected = on_disconnected
        self._reader = reader
        self._archive = archive
        self._subscriber = subscriber
        self._metrics = metrics
        self._linger_seconds = linger_seconds
        self._apps: dict[str, App] = {}
        self._by_shard: dict[int, dict[str, App]] = {}
        self.busy = set[App]()
        """The apps that are not quiet, and some that are by now."""
        self.forgetting = Appointments[App]()
        """When quiet apps forget what they keep of pushes for some seconds only."""
        self.recent = RecentPages()
        """Pages of all logs that were read lately."""
        self._left = asyncio.Event()
        self._room = room or GroupRoom()

    @property
    def apps(self) -> Iterable[App]:
        """All apps that are followed."""
        return list(self._apps.values())

    @property
    def shards(self) -> Iterable[int]:
        """The shards that the apps are in."""
        return list(self._by_shard)

    def apps_of(self, shard: int) -> Iterable[App]:
        """The apps of one shard."""
        return list(self._by_shard.get(shard, {}).values())

    def app(self, app_id: str) -> App | None:
        """An app, if it is followed."""
        return self._apps.get(app_id)

    @property
    def gateways(self) -> list[Gateway]:
        """All connections of this node."""
        return [gateway for app in self._apps.values() for gateway in app.delivery.gateways]

    def enter(self, gateway: Gateway) -> App:
        """Take in a gateway, and follow its app."""
        app = self._apps.get(gateway.app_id) or self._follow(gateway.app_id)
        if app.release is not None:
            app.release.cancel()
            app.release = None
        app.delivery.enter(gateway)
        self._metrics.connections.inc()
        return app

    def claim(self, gateway: Gateway, number: int) -> None:
        """Make a gateway the newest of its gatewayId on this node, and close an older one."""
        app = self._apps[gateway.app_id]
        gateway.register(number)
        app.replace(gateway.gateway_id, number)
        app.newest[gateway.gateway_id] = gateway

    def leave(self, app: App, gateway: Gateway) -> None:
        """Let a gateway go whose socket has ended."""
        app.delivery.leave(gateway)
        self._metrics.connections.dec()
        self._left.set()
        if app.newest.get(gateway.gateway_id) is gateway:
            del app.newest[gateway.gateway_id]
        if app.delivery.is_deserted and self._apps.get(app.app_id) is app:
            loop = asyncio.get_running_loop()
            app.release = loop.call_later(self._linger_seconds, self._let_go, app)

    async def emptied(self) -> None:
        """Wait until no gateway is here. For a node that lets none in any more."""
        while self.gateways:
            self._left.clear()
            await self._left.wait()

    def close(self) -> None:
        """Follow no app any more."""
        for app in self.apps:
            if app.release is not None:
                app.release.cancel()
            self._let_go(app)

    def _follow(self, app_id: str) -> App:
        on_busy = lambda: self.busy.add(app)  # noqa: E731
        delivery = Delivery(
            self._metrics,
            has_archive=self._archive is not None,
            on_busy=on_busy,
            on_pushed=partial(self._activity.pushed, app_id),
            on_moved=self.changed.note,
            on_traced=None if self._tracing is None else partial(_record, self._tracing, app_id),
            room=self._room,
        )
        follower = Follower(app_id, self._reader, delivery, self._metrics)
        poll_log = partial(poll.log_stands, self._subscriber, app_id)
        log_replay = LogReplay(app_id, self._reader, self.recent, poll_log, delivery, follower, self._metrics)
        replays = [asyncio.create_task(log_replay.run())]
        if self._archive is not None:
            archive_replay = ArchiveReplay(app_id, self._reader, self._archive, delivery, self._metrics)
            replays.append(asyncio.create_task(archive_replay.run()))
        app = self._apps[app_id] = App(app_id, follower, delivery, replays)
        self._by_shard.setdefault(app.shard, {})[app_id] = app
        self.busy.add(app)
        # Connections first: once the follower has settled, no newer connection elsewhere goes unheard.
        connections, batches = self._channels(app_id)
        self._subscriber.subscribe(app.shard, connections, _Connections(app, self._on_disconnected))
        self._subscriber.subscribe(app.shard, batches, _Batches(follower))
        return app

    def _let_go(self, app: App) -> None:
        for channel in self._channels(app.app_id):
            self._subscriber.unsubscribe(app.shard, channel)
        app.close()
        self.recent.leave(app.app_id)
        self.busy.discard(app)
        self.forgetting.cancel(app)
        del self._apps[app.app_id], self._by_shard[app.shard][app.app_id]
        if not self._by_shard[app.shard]:
            del self._by_shard[app.shard]

    def _channels(self, app_id: str) -> tuple[str, str]:
        database = self._subscriber.database
        return names.gateway_news(app_id, database), names.live(app_id, database)


def _record(tracing: Tracing, app_id: str, traces: Sequence[str], begun_ns: int, gateways: int) -> None:
    tracing.record("push", traces, begun_ns, {"imc.app_id": app_id, "imc.gateways": gateways})
