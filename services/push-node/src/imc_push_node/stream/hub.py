"""The apps that have gateways on this node. No I/O of its own."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from imc_contracts import names
from imc_contracts.cursor import Cursor

from imc_push_node.gateway.gateway import Gateway
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import poll
from imc_push_node.stream.archive import Archive
from imc_push_node.stream.archive_replay import ArchiveReplay
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.follower import Follower
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
    poll_commands: bytes
    """The commands that poll it each second."""
    newest: dict[str, Gateway] = field(default_factory=dict[str, Gateway])
    """Of each gatewayId the newest registered connection."""
    fence: int = 0
    """The newest fencing number given out, at the last poll."""
    fence_before: int = 0
    """The same, one poll earlier."""
    release: asyncio.TimerHandle | None = None
    last_poll: tuple[Cursor, list[bytes | None], float | None] | None = None
    """Its head, log and fence when the last poll found nothing missed; None if it did not."""

    def replace(self, gateway_id: str, number: int) -> None:
        """Close the connection of a gatewayId if ``number`` is a newer one, here or elsewhere."""
        newest = self.newest.get(gateway_id)
        if newest is not None and newest.number < number:
            newest.replace()

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


class _Connections:
    """The channel of an app's new connections."""

    def __init__(self, app: App) -> None:
        self._app = app

    def on_subscribed(self) -> None:
        """The poll of the fence, each second, finds what was missed."""

    def on_message(self, payload: bytes) -> None:
        news = names.read_news(payload)
        if news is not None:
            self._app.replace(*news)


class Hub:
    """Follows each app from its first gateway on, until some time after the last one left."""

    def __init__(
        self,
        reader: LogReader,
        subscriber: Subscriber,
        metrics: NodeMetrics,
        linger_seconds: float,
        archive: Archive | None = None,
    ) -> None:
        self._reader = reader
        self._archive = archive
        self._subscriber = subscriber
        self._metrics = metrics
        self._linger_seconds = linger_seconds
        self._apps: dict[str, App] = {}
        self.recent = RecentPages()
        """Pages of all logs that were read lately."""
        self._left = asyncio.Event()

    @property
    def apps(self) -> Iterable[App]:
        """All apps that are followed."""
        return list(self._apps.values())

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
        delivery = Delivery(self._metrics, has_archive=self._archive is not None)
        follower = Follower(app_id, self._reader, delivery, self._metrics)
        poll_log = partial(poll.log_stands, self._subscriber, app_id)
        log_replay = LogReplay(app_id, self._reader, self.recent, poll_log, delivery, follower, self._metrics)
        replays = [asyncio.create_task(log_replay.run())]
        if self._archive is not None:
            archive_replay = ArchiveReplay(app_id, self._reader, self._archive, delivery, self._metrics)
            replays.append(asyncio.create_task(archive_replay.run()))
        app = self._apps[app_id] = App(app_id, follower, delivery, replays, poll.about(app_id))
        # Connections first: once the follower has settled, no newer connection elsewhere goes unheard.
        connections, batches = self._channels(app_id)
        self._subscriber.subscribe(connections, _Connections(app))
        self._subscriber.subscribe(batches, _Batches(follower))
        return app

    def _let_go(self, app: App) -> None:
        for channel in self._channels(app.app_id):
            self._subscriber.unsubscribe(channel)
        app.close()
        del self._apps[app.app_id]

    def _channels(self, app_id: str) -> tuple[str, str]:
        database = self._subscriber.database
        return names.gateway_news(app_id, database), names.live(app_id, database)
