"""The node's one Pub/Sub connection.

A connection that ends is replaced, forever. What was published in between is lost to this node: each
channel's listener is told of every confirmed subscription, the first as well as those of a new connection,
and looks into the log then. A server that hangs ends no connection: a ping each second, with a deadline,
notices it.
"""

import asyncio
import contextlib
from typing import Any, Protocol

from imc_service import background
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.client import database_of
from imc_service.redis.errors import words_of
from imc_service.retry import Backoff
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from imc_push_node.pubsub.connection import PubSubConnection, connected

logger = get_logger("subscriber")

PING_SECONDS = 1.0
DEADLINE_SECONDS = 3.0
"""Without a word from Redis for so long, its connection is given up."""

BACKOFF = Backoff(longest=1.0)
"""Between connections."""


class ChannelListener(Protocol):
    """Hears one channel. Called as messages come in: must not raise or wait."""

    def on_subscribed(self) -> None:
        """From here on nothing is missed, until the next call; before it something may have been."""
        ...

    def on_message(self, payload: bytes) -> None:
        """A message, in the order of publishing."""
        ...


class Subscriber:
    """Listens to the channels that are held. `run` must be running."""

    def __init__(self, redis: Redis, connections: Counter) -> None:
        self._redis = redis
        self.database = database_of(redis)
        """The number that its channels bear."""
        self._connections = connections
        self._listeners: dict[bytes, ChannelListener] = {}
        self._touched: dict[bytes, None] = {}
        """The channels that Redis is still to be told of, in the order in which they were held."""
        self._changed = asyncio.Event()
        self._link: PubSubConnection | None = None
        self._has_subscribed = False
        """Whether Redis has confirmed a subscription on this connection. It may refuse them all."""
        self._outage = Outage(logger.warning, "listening to Redis")

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """Listen to ``channel``. Channels that are held in one step are subscribed to in that order."""
        self._listeners[channel.encode()] = listener
        self._touch(channel.encode())

    def unsubscribe(self, channel: str) -> None:
        """Listen no more; nothing is heard of the channel from here on."""
        self._listeners.pop(channel.encode(), None)
        self._touch(channel.encode())

    def _touch(self, channel: bytes) -> None:
        self._touched.pop(channel, None)  # it comes last then
        self._touched[channel] = None
        self._changed.set()

    async def ask(self, commands: bytes, count: int) -> list[Any]:
        """The replies to ``count`` commands, packed and joined; see `PubSubConnection.ask`.

        Everything that was published before Redis carried them out has been heard when this returns. Raises
        `RedisError` or `OSError` when there is no connection, and once it is given up for its silence.
        """
        if self._link is None:
            raise Disconnected("no Pub/Sub connection")
        return await self._link.ask(commands, count)

    async def alive(self) -> str | None:
        """A readiness check: why nothing could be heard just now, or None."""
        if self._outage.words is not None:
            return f"no Pub/Sub connection: {self._outage.words}"
        if self._link is None or not self._has_subscribed:
            return "no Pub/Sub connection"
        silence = _now() - self._link.heard_at
        return "the Pub/Sub connection is silent" if silence > DEADLINE_SECONDS else None

    def reconnect(self) -> None:
        """Give the connection up, for one that what is published is heard on."""
        if self._link is not None:
            self._link.end(Disconnected("what was published was not heard"))

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        failures = 0
        while True:
            began = _now()
            try:
                await self._connect_and_listen()
            except (RedisError, OSError) as error:
                self._outage.goes_on(words_of(error))
                if self._link is not None and _now() - began > BACKOFF.longest:
                    failures = 0
            finally:
                self._link = None
            await BACKOFF.pause(failures := failures + 1)

    async def _connect_and_listen(self) -> None:
        # Not redis-py's Pub/Sub: that one reconnects without a word, and a gap would look like none.
        async with connected(self._redis, self._hear) as link:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await link.prove()
            self._connections.inc()
            self._link, self._has_subscribed = link, False
            tasks = [asyncio.create_task(work) for work in (self._write(link), link.ended(), _watch(link))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await background.end(tasks)

    async def _write(self, link: PubSubConnection) -> None:
        """Keep the connection's channels as they are held, and ping."""
        self._touched = dict.fromkeys(self._listeners)
        while True:
            self._changed.clear()
            touched, self._touched = self._touched, {}
            gone = [channel for channel in touched if channel not in self._listeners]
            # One that is subscribed already is among them if its listener is new, which must hear of it too.
            new = [channel for channel in touched if channel in self._listeners]
            if gone:
                link.send("UNSUBSCRIBE", *gone)
            if new:
                link.send("SUBSCRIBE", *new)
            link.ping()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()

    def _hear(self, kind: bytes, channel: bytes, payload: Any) -> None:
        listener = self._listeners.get(channel)
        if listener is None:
            return
        if kind == b"message":
            listener.on_message(payload)
        elif kind == b"subscribe":
            self._has_subscribed = True
            self._outage.is_over()
            listener.on_subscribed()


async def _watch(link: PubSubConnection) -> None:
    while True:
        silence = _now() - link.heard_at
        if silence > DEADLINE_SECONDS:
            raise TimeoutError("Redis does not answer on the Pub/Sub connection")
        await asyncio.sleep(DEADLINE_SECONDS - silence + 0.1)


def _now() -> float:
    return asyncio.get_running_loop().time()
