"""The apps that have gateways at this node, and who of them is where. No I/O of its own."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from imc_contracts import names
from imc_contracts.codes import CloseCode
from imc_contracts.cursor import Cursor

from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import poll
from imc_push_node.stream.archive import Archive
from imc_push_node.stream.archive_replay import ArchiveReplay
from imc_push_node.stream.follower import Follower
from imc_push_node.stream.log_reader import LogReader
from imc_push_node.stream.log_replay import LogReplay
from imc_push_node.stream.recent_pages import RecentPages
from imc_push_node.stream.subscribers import Subscribers


@dataclass(eq=False)
class App:
    """One app at this node."""

    app_id: str
    follower: Follower
    subscribers: Subscribers
    log_replay: LogReplay
    archive_replay: ArchiveReplay | None
    """None if there is no query-api to ask."""
    members: set[Gateway] = field(default_factory=set[Gateway])
    """All its connections, those that are not registered yet among them."""
    newest: dict[str, Gateway] = field(default_factory=dict[str, Gateway])
    """Of each gatewayId the newest registered connection."""
    fence: int = 0
    """The newest fencing number given out, when it was last looked at."""
    fence_before: int = 0
    """The same, a look earlier."""
    release: asyncio.TimerHandle | None = None
    questions: bytes = b""
    """What is asked about it each second."""
    look: tuple[Cursor, list[bytes | None], float | None] | None = None
    """Where it, its log and its fence stood when all was well with it; None if that is not certain."""

    def join(self, gateway: Gateway, offered: Cursor | None) -> None:
        """Let a gateway in, at the point it offers or at the head. Needs a settled follower; never waits."""
        self.subscribers.flush()
        head = self.subscribers.head
        is_there = offered is not None and (
            offered == head or (head.is_unborn and offered.epoch == head.epoch)
        )
        if offered is None or is_there:
            gateway.socket.write(frames.connected(offered or head, gateway.format, recovered=is_there))
            gateway.resume(PauseReason.GREETING)
            self.subscribers.admit(gateway)
        else:
            gateway.offered = offered
            gateway.is_resuming = True
            self.log_replay.add(gateway, offered)

    def dismiss(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        self.members.discard(gateway)
        self.subscribers.forget(gateway)
        self.subscribers.full.discard(gateway)
        self.subscribers.dismiss(gateway)
        for lagging in self._lagging():
            lagging.discard(gateway)

    def wake(self) -> None:
        """A gateway has room again."""
        for lagging in self._lagging():
            lagging.wake()

    def close(self) -> None:
        """Read nothing more."""
        self.follower.close()
        for lagging in self._lagging():
            lagging.close()

    def _lagging(self) -> Iterable[LogReplay | ArchiveReplay]:
        return (self.log_replay,) if self.archive_replay is None else (self.log_replay, self.archive_replay)

    def replace(self, gateway_id: str, number: int) -> None:
        """The connection ``number`` is its gatewayId's newest, here or elsewhere: close an older one."""
        held = self.newest.get(gateway_id)
        if held is not None and held.number < number:
            held.is_replaced = True
            held.socket.close(CloseCode.REPLACED, "a newer connection of this gatewayId")


class _Live:
    """An app's channel of appended batches."""

    def __init__(self, follower: Follower) -> None:
        self.on_subscribed = follower.resync
        self.on_message = follower.on_published


class _News:
    """An app's channel of connections."""

    def __init__(self, app: App) -> None:
        self._app = app

    def on_subscribed(self) -> None:
        """What was missed is found by the look at the fence each second."""

    def on_message(self, payload: bytes) -> None:
        news = names.read_news(payload)
        if news is not None:
            self._app.replace(*news)


class Hub:
    """Who is here. The first gateway of an app subscribes; some time after the last left, it is let go."""

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
        """What was read of their logs lately."""
        self._left = asyncio.Event()
        self.on_leave: list[Callable[[Gateway], None]] = []
        """Each is called with every registered gateway that has left."""

    @property
    def apps(self) -> Iterable[App]:
        """All apps followed just now."""
        return list(self._apps.values())

    @property
    def gateways(self) -> list[Gateway]:
        """All connections of this node."""
        return [gateway for app in self._apps.values() for gateway in app.members]

    def enter(self, gateway: Gateway) -> App:
        """Make place for a gateway; its app is followed from here on."""
        app = self._apps.get(gateway.app_id) or self._follow(gateway.app_id)
        if app.release is not None:
            app.release.cancel()
            app.release = None
        app.members.add(gateway)
        app.subscribers.expect(gateway)
        self._metrics.connections.inc()
        return app

    def claim(self, gateway: Gateway, number: int) -> None:
        """Make a gateway the newest of its gatewayId at this node; an older one is closed."""
        app = self._apps[gateway.app_id]
        gateway.number = number
        app.replace(gateway.gateway_id, number)
        app.newest[gateway.gateway_id] = gateway

    def leave(self, app: App, gateway: Gateway) -> None:
        """A gateway's socket has ended."""
        app.dismiss(gateway)
        self._metrics.connections.dec()
        self._left.set()
        if app.newest.get(gateway.gateway_id) is gateway:
            del app.newest[gateway.gateway_id]
        if gateway.number:
            for told in self.on_leave:
                told(gateway)
        if not app.members and self._apps.get(app.app_id) is app:
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
        subscribers = Subscribers(self._metrics)
        follower = Follower(app_id, self._reader, subscribers, self._metrics)
        look = partial(poll.log_stands, self._subscriber, app_id)
        log_replay = LogReplay(app_id, self._reader, self.recent, look, subscribers, follower, self._metrics)
        subscribers.on_slow = log_replay.add
        archive_replay = None
        if self._archive is not None:
            archive_replay = ArchiveReplay(app_id, self._reader, self._archive, log_replay, self._metrics)
            log_replay.on_unproven = archive_replay.add
        app = App(app_id, follower, subscribers, log_replay, archive_replay, questions=poll.about(app_id))
        self._apps[app_id] = app
        # News first: once the follower is settled, no newer connection elsewhere goes unheard.
        news, live = self._channels(app_id)
        self._subscriber.subscribe(news, _News(app))
        self._subscriber.subscribe(live, _Live(follower))
        return app

    def _let_go(self, app: App) -> None:
        for channel in self._channels(app.app_id):
            self._subscriber.unsubscribe(channel)
        app.close()
        del self._apps[app.app_id]

    def _channels(self, app_id: str) -> tuple[str, str]:
        database = self._subscriber.database
        return names.gateway_news(app_id, database), names.live(app_id, database)
