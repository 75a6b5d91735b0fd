"""The Pub/Sub connection to one master, which is replaced whenever it ends.

What was published in between is lost to this node: each channel's listener is told of every confirmed
subscription, the first as well as those of a new connection, and looks into the log then. A server that hangs
ends no connection: a ping each second, with a deadline, notices it.
"""

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import prometheus_client
from imc_service import background, ticks
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.connections import has_moved
from imc_service.redis.errors import words_of
from imc_service.retry import Backoff
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from imc_push_node.pubsub.channels import Channel
from imc_push_node.pubsub.connection import PubSubConnection, connected

logger = get_logger("subscriber")

PING_SECONDS = 1.0
DEADLINE_SECONDS = 3.0
"""Without a word from Redis for so long, its connection is given up."""

BACKOFF = Backoff(longest=1.0)
"""Between connections."""


class MasterSubscriber:
    """Listens to channels of one master, at ``address``. `run` must be running.

    ``on_moved`` is called with a shard whose channels the master has given away. They are not held any more.
    """

    def __init__(
        self,
        redis: Redis,
        address: str,
        connections: prometheus_client.Counter,
        on_moved: Callable[[int], None],
    ) -> None:
        self._redis = redis
        self.address = address
        self._connections = connections
        self._on_moved = on_moved
        self._channels: dict[bytes, Channel] = {}
        self._touched: dict[bytes, Channel] = {}
        """The channels that Redis is still to be told of, in the order in which they were held."""
        self._leaving = Counter[bytes]()
        """How often Redis has still to confirm that a channel is left."""
        self._changed = asyncio.Event()
        self._connection: PubSubConnection | None = None
        self._has_subscribed = False
        """Whether Redis has confirmed a subscription on this connection. It may refuse them all."""
        self._outage = Outage(logger.warning, f"listening to Redis at {address}")

    @property
    def is_idle(self) -> bool:
        """Whether it holds no channel."""
        return not self._channels

    def hold(self, channel: Channel) -> None:
        """Listen to a channel. Those of a shard that are held in one step are subscribed to in that order."""
        self._channels[channel.name] = channel
        self._touch(channel)

    def leave(self, channel: Channel) -> None:
        """Listen to a channel no more; nothing is heard of it from here on."""
        if self._channels.pop(channel.name, None) is not None:
            self._touch(channel)

    def release(self, shard: int) -> None:
        """Leave all channels of a shard that has moved. Redis knows: it would refuse to be told."""
        for held in (self._channels, self._touched):
            for name in [name for name, channel in held.items() if channel.shard == shard]:
                del held[name]

    def _touch(self, channel: Channel) -> None:
        self._touched.pop(channel.name, None)  # it comes last then
        self._touched[channel.name] = channel
        self._changed.set()

    async def ask(self, commands: bytes, count: int) -> list[Any]:
        """The replies to ``count`` commands, packed and joined; see `PubSubConnection.ask`.

        Everything that was published before Redis carried them out has been heard when this returns. Raises
        `RedisError` or `OSError` when there is no connection, and once it is given up for its silence.
        """
        if self._connection is None:
            raise Disconnected(f"no Pub/Sub connection to {self.address}")
        return await self._connection.ask(commands, count)

    def fault(self) -> str | None:
        """Why nothing could be heard just now, or None."""
        words = f"no Pub/Sub connection to {self.address}"
        if self._outage.words is not None:
            return f"{words}: {self._outage.words}"
        if self._connection is None or not self._has_subscribed:
            return words
        silence = _now() - self._connection.heard_at
        is_silent = silence > DEADLINE_SECONDS
        return f"the Pub/Sub connection to {self.address} is silent" if is_silent else None

    def reconnect(self) -> None:
        """Give the connection up, for one that what is published is heard on."""
        if self._connection is not None:
            self._connection.end(Disconnected("what was published was not heard"))

    async def run(self) -> None:
        """Connect, and connect again, until cancelled."""
        failures = 0
        while True:
            began = _now()
            try:
                await self._connect_and_listen()
            except (RedisError, OSError) as error:
                self._outage.goes_on(words_of(error))
                if self._connection is not None and _now() - began > BACKOFF.longest:
                    failures = 0
            finally:
                self._connection = None
            await BACKOFF.pause(failures := failures + 1)

    async def _connect_and_listen(self) -> None:
        began = time.monotonic()
        # Not redis-py's Pub/Sub: that one reconnects without a word, and a gap would look like none.
        async with connected(self._redis, self._hear) as connection:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await connection.prove(self._a_shard())
            self._connections.inc()
            self._connection, self._has_subscribed = connection, False
            works = (self._write(connection, began), connection.ended(), _watch(connection))
            tasks = [asyncio.create_task(work) for work in works]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await background.end(tasks)

    async def _write(self, connection: PubSubConnection, began: float) -> None:
        """Keep the connection's channels as they are held, and ping, until there is another master."""
        self._touched = dict(self._channels)
        self._leaving.clear()
        while True:
            if has_moved(self._redis, began):
                # It is alive, maybe, and publishes what is lost when it becomes a replica.
                raise Disconnected("another server is the master by now")
            self._changed.clear()
            touched, self._touched = self._touched, {}
            # A command has channels of one shard: in a cluster others may be elsewhere.
            by_shard: defaultdict[int, list[bytes]] = defaultdict(list)
            for name, channel in touched.items():
                by_shard[channel.shard].append(name)
            for some in by_shard.values():
                gone = [name for name in some if name not in self._channels]
                # One that is subscribed already is among them if its listener is new, which must hear of it.
                new = [name for name in some if name in self._channels]
                if gone:
                    self._leaving.update(gone)
                    connection.send("SUNSUBSCRIBE", *gone)
                if new:
                    connection.send("SSUBSCRIBE", *new)
            if self._channels:
                connection.ping(self._a_shard())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ticks.pause(PING_SECONDS)):
                    await self._changed.wait()

    def _a_shard(self) -> int:
        """A shard of the master."""
        for channel in self._channels.values():
            return channel.shard
        raise Disconnected("it holds no channel")

    def _hear(self, kind: bytes, name: bytes, payload: Any) -> None:
        channel = self._channels.get(name)
        if kind == b"smessage":
            if channel is not None:
                channel.listener.on_message(payload)
        elif kind == b"ssubscribe":
            self._has_subscribed = True
            self._outage.is_over()
            if channel is not None:
                channel.listener.on_subscribed()
        elif kind == b"sunsubscribe":
            self._hear_of_leaving(name, channel)

    def _hear_of_leaving(self, name: bytes, channel: Channel | None) -> None:
        if self._leaving[name]:
            self._leaving[name] -= 1
            if not self._leaving[name]:
                del self._leaving[name]
        elif channel is not None:
            # Nobody has asked for it: the shard has moved to another master.
            self.release(channel.shard)
            self._on_moved(channel.shard)


async def _watch(connection: PubSubConnection) -> None:
    while True:
        silence = _now() - connection.heard_at
        if silence > DEADLINE_SECONDS:
            raise TimeoutError("Redis does not answer on the Pub/Sub connection")
        await asyncio.sleep(DEADLINE_SECONDS - silence + 0.1)


def _now() -> float:
    return asyncio.get_running_loop().time()
