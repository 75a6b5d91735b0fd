"""Listens to the channels of a node: on each master to those of the shards that it holds.

A channel of a shard is published on the master that has the shard's keys, and moves with them to another
master. Who has which shard is looked up each second, and at once when a master gives a shard away. Then each
listener is told of the new subscription, as after any gap.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from imc_contracts import names
from imc_service import background, ticks
from imc_service.redis.client import address_of
from imc_service.redis.masters import Masters
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import RedisError

from imc_push_node.pubsub.channels import Channel, ChannelListener
from imc_push_node.pubsub.master_subscriber import MasterSubscriber

PLACE_SECONDS = 1.0
"""How often it is looked up where the shards are."""


class Subscriber:
    """Listens to the channels that are held. `run` must be running."""

    def __init__(self, masters: Masters, connections: Counter) -> None:
        self._masters = masters
        self.database = masters.database
        """The number that its channels bear."""
        self._connections = connections
        self._shards: dict[int, dict[bytes, Channel]] = {}
        """All channels, by shard."""
        self._connected: dict[Redis, tuple[MasterSubscriber, asyncio.Task[None]]] = {}
        self._placed: dict[int, MasterSubscriber] = {}
        self._moved = set[int]()
        """The shards whose new master is looked for."""
        self._lookups = set[asyncio.Task[None]]()
        self._changed = asyncio.Event()

    def subscribe(self, shard: int, channel: str, listener: ChannelListener) -> None:
        """Listen to a channel of ``shard``.

        Channels of a shard that are held in one step are subscribed to in that order.
        """
        held = Channel(shard, channel.encode(), listener)
        self._shards.setdefault(shard, {})[held.name] = held
        if shard in self._placed:
            self._placed[shard].hold(held)
        else:
            self._changed.set()

    def unsubscribe(self, shard: int, channel: str) -> None:
        """Listen no more; nothing is heard of the channel from here on."""
        channels = self._shards[shard]
        left = channels.pop(channel.encode())
        if shard in self._placed:
            self._placed[shard].leave(left)
        if not channels:
            del self._shards[shard]
            self._placed.pop(shard, None)
            self._changed.set()

    async def ask(self, shards: Iterable[int], commands: bytes, count: int) -> list[Any]:
        """Ask the master of ``shards``, which have channels here; see `MasterSubscriber.ask`.

        Raises `RedisError` too if they are not all known to be on one master.
        """
        masters = {self._placed.get(shard) for shard in shards}
        master = masters.pop()
        if master is None or masters:
            raise Disconnected("it is not known which master holds the shards")
        return await master.ask(commands, count)

    def by_master(self, shards: Iterable[int]) -> list[list[int]]:
        """The shards whose master is known, those of each master together."""
        groups: dict[MasterSubscriber, list[int]] = {}
        for shard in shards:
            if shard in self._placed:
                groups.setdefault(self._placed[shard], []).append(shard)
        return list(groups.values())

    def fault(self, shard: int) -> str | None:
        """Why nothing could be heard of ``shard`` just now, or None."""
        if shard not in self._placed:
            return "no Pub/Sub connection"
        return self._placed[shard].fault()

    def address(self, shard: int) -> str:
        """Where the master of ``shard`` is, as far as is known."""
        return self._placed[shard].address if shard in self._placed else "an unknown address"

    def reconnect(self, shard: int) -> None:
        """Give the connection to the master of ``shard`` up, for one that what is published is heard on."""
        if shard in self._placed:
            self._placed[shard].reconnect()

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            while True:
                self._changed.clear()
                self._place()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ticks.pause(PLACE_SECONDS)):
                        await self._changed.wait()
        finally:
            await background.end([*self._lookups, *(task for _, task in self._connected.values())])
            self._connected.clear()
            self._placed.clear()
            self._moved.clear()

    def _place(self) -> None:
        """Hold each channel at the master that has its shard now."""
        shards = {names.changes(shard): shard for shard in self._shards if shard not in self._moved}
        for redis, keys in self._masters.by_master(shards):
            if redis not in self._connected:
                self._connected[redis] = self._begin(redis)
            subscriber, _ = self._connected[redis]
            for key in keys:
                self._place_shard(shards[key], subscriber)
        for redis, (subscriber, task) in list(self._connected.items()):
            if subscriber.is_idle:
                task.cancel()
                del self._connected[redis]

    def _begin(self, redis: Redis) -> tuple[MasterSubscriber, asyncio.Task[None]]:
        subscriber = MasterSubscriber(redis, address_of(redis), self._connections, self._on_moved)
        return subscriber, asyncio.create_task(background.lasting(subscriber.run))

    def _place_shard(self, shard: int, subscriber: MasterSubscriber) -> None:
        before = self._placed.get(shard)
        if before is subscriber:
            return
        if before is not None:
            before.release(shard)
        self._placed[shard] = subscriber
        for channel in self._shards[shard].values():
            subscriber.hold(channel)

    def _on_moved(self, shard: int) -> None:
        self._placed.pop(shard, None)
        self._moved.add(shard)
        lookup = asyncio.create_task(self._look_for(shard))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)

    async def _look_for(self, shard: int) -> None:
        """Use a key of the shard, so that `Masters` finds out where it is."""
        key = names.gateways(names.no_app(shard))
        with contextlib.suppress(RedisError, OSError):
            await self._masters.run(key, lambda redis: redis.zrem(key, "x"))  # pyright: ignore
        self._moved.discard(shard)
        self._changed.set()
