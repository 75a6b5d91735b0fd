"""Takeover: the newest connection of a gatewayId closes the older ones, on all nodes.

Each connection takes a fencing number from the app's fence. The numbers only grow. They begin at the clock's
microseconds, so that they also grow if Redis loses them. The greatest number is written beside the gatewayId
and published to all nodes of the app. In the same step it is noted as a change in the app's shard. A node
that misses what is published finds the change within a second.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, cast

from imc_contracts import names
from imc_service import background
from imc_service.logs import get_logger
from imc_service.redis.connections import packed
from imc_service.redis.masters import Argument, Masters
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from imc_push_node.gateway.gateway import Gateway
from imc_push_node.stream.changes import GATEWAYS
from imc_push_node.stream.hub import App, Hub
from imc_push_node.stream.turns import Turns

logger = get_logger("takeover")

_Waiting = tuple[Gateway, asyncio.Future[None]]

APPS_AT_ONCE = 16
"""How many apps of one master are registered at once."""

FENCE = "f"
"""The one member of an app's fence; its score is the newest number given out."""

KEEP_US = 30 * 86_400_000_000
"""How long the registrations of nodes that died are kept, and the fence of an app.

Later numbers begin at the clock, and are greater. If a gateway stays connected for longer than this, both are
written again, as after Redis has lost them.
"""

_KEEP_MS = KEEP_US // 1000


def registrations(app_id: str, gateways: Iterable[Gateway]) -> bytes:
    """The command that reads the registrations of gateways; `Takeover.check` takes its reply."""
    return packed("ZMSCORE", names.gateways(app_id), *(gateway.gateway_id for gateway in gateways))


class Takeover:
    """Registers gateways. `run` must be running.

    Those of an app that arrive during a round trip share the next.
    """

    def __init__(self, masters: Masters, hub: Hub) -> None:
        self._masters = masters
        self._hub = hub
        self._arrivals: defaultdict[str, list[_Waiting]] = defaultdict(list)
        """Those that wait, by app."""
        self._departures: list[Gateway] = []
        self._changed = asyncio.Event()
        self._turns = Turns(APPS_AT_ONCE)
        self._registering: dict[str, asyncio.Task[None]] = {}
        """What registers the gateways of an app."""
        self._unwritten = set[Gateway]()
        """Those whose number is not written yet."""
        self._departing = set[asyncio.Task[None]]()

    async def register(self, gateway: Gateway) -> None:
        """Make ``gateway`` the newest of its gatewayId. Older ones are closed, here and on other nodes.

        If an even newer one has arrived meanwhile, ``gateway`` itself is closed.
        Raises `RedisError` or `OSError` if Redis can't be asked.
        """
        registered = asyncio.get_running_loop().create_future()
        self._arrivals[gateway.app_id].append((gateway, registered))
        self._changed.set()
        await registered

    def leave(self, gateway: Gateway) -> None:
        """Remove the registration of ``gateway``, if it has one. Never waits."""
        if gateway.number:
            self._departures.append(gateway)
            self._changed.set()

    async def run(self) -> None:
        """Register and deregister until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                for app_id in self._arrivals.keys() - self._registering.keys():
                    self._registering[app_id] = asyncio.create_task(self._arrive_at(app_id))
                departures, self._departures = self._departures, []
                if departures:
                    departing = asyncio.create_task(self._depart(departures))
                    self._departing.add(departing)
                    departing.add_done_callback(self._departing.discard)
        finally:
            await background.end([*self._registering.values(), *self._departing])

    async def _arrive_at(self, app_id: str) -> None:
        """Register the gateways of an app until none waits."""
        try:
            while waiting := self._arrivals.pop(app_id, None):
                await self._arrive(app_id, waiting)
        finally:
            del self._registering[app_id]

    async def _arrive(self, app_id: str, waiting: list[_Waiting]) -> None:
        fault: Exception | None = None
        # A gateway that has given up meanwhile must not replace one that is connected.
        waiting = [each for each in waiting if not each[1].done() and not each[0].socket.has_ended]
        try:
            await self._register(app_id, [gateway for gateway, _ in waiting])
        except (RedisError, OSError) as error:
            fault = error
        for _, registered in waiting:
            if registered.done():
                continue
            if fault is None:
                registered.set_result(None)
            else:
                registered.set_exception(fault)

    async def _register(self, app_id: str, gateways: list[Gateway]) -> None:
        if not gateways:
            return
        newest = await self._take_numbers(app_id, len(gateways))
        arrived = [gateway for gateway in gateways if not gateway.socket.has_ended]
        for number, gateway in enumerate(gateways, newest - len(gateways) + 1):
            if gateway in arrived:
                # Before the number is published: if a newer one is published then, it must find this one.
                self._hub.claim(gateway, number)
        if not arrived:
            return
        self._unwritten.update(arrived)
        try:
            await self._write_numbers(app_id, arrived)
        finally:
            self._unwritten.difference_update(arrived)
        app = self._hub.app(app_id)
        if app is not None:
            # A newer one may have been registered between our two steps, before this one was known.
            await self._close_replaced(app, arrived)

    async def _take_numbers(self, app_id: str, count: int) -> int:
        """Take so many fencing numbers; returns the greatest."""
        fence = names.gateway_fence(app_id)

        async def take(redis: Redis) -> int:
            async with self._turns.at(redis), redis.pipeline(transaction=True) as pipeline:
                pipeline.zadd(fence, {FENCE: _now_us()}, gt=True)  # pyright: ignore[reportUnknownMemberType]
                pipeline.zincrby(fence, count, FENCE)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(fence, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _, newest, _ = await pipeline.execute()
            return int(newest)

        return await self._masters.run(fence, take)

    async def _write_numbers(self, app_id: str, gateways: list[Gateway]) -> None:
        """Write the numbers of gateways beside their ids, and publish them."""
        key, channel = names.gateways(app_id), names.gateway_news(app_id, self._masters.database)
        numbers = {gateway.gateway_id: gateway.number for gateway in gateways}

        async def write(redis: Redis) -> None:
            async with self._turns.at(redis), redis.pipeline(transaction=True) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", _now_us() - KEEP_US)  # pyright: ignore[reportUnknownMemberType]
                _add_numbers(pipeline, app_id, numbers)
                for gateway_id, number in numbers.items():
                    pipeline.spublish(channel, names.news_of(gateway_id, number))  # pyright: ignore[reportUnknownMemberType]
                await pipeline.execute()

        await self._masters.run(key, write)

    async def _depart(self, gateways: list[Gateway]) -> None:
        removals: list[tuple[str, Sequence[Argument]]] = []
        for gateway in gateways:
            key, number = names.gateways(gateway.app_id), gateway.number
            removals.append((key, ("ZREMRANGEBYSCORE", key, number, number)))
        replies = await self._masters.each(removals)
        if faults := [reply for reply in replies if isinstance(reply, Exception)]:
            # These have old numbers: they keep no gateway out.
            logger.debug("registrations stay behind", fault=type(faults[0]).__name__, count=len(faults))

    async def check(self, app: App, gateways: list[Gateway], scores: list[float | None]) -> None:
        """Hold the newest ``gateways`` of an app against their registrations, as `registrations` reads them.

        Close those whose replacement was not heard of. If registrations are lost (Redis was emptied, a
        replica that lags has taken over, or they have ended) all of the app are written again. That is a
        change too: the other nodes look whether they have a gateway that it replaces. Raises as `register`.
        """
        is_lost = False
        for gateway, score in zip(gateways, scores, strict=True):
            number = int(score or 0)
            app.replace(gateway.gateway_id, number)
            is_written = app.newest.get(gateway.gateway_id) is gateway and gateway not in self._unwritten
            is_lost |= is_written and number < gateway.number
        if is_lost:
            await self._write_again(app)

    async def _write_again(self, app: App) -> None:
        fence, key = names.gateway_fence(app.app_id), names.gateways(app.app_id)
        numbers = {gateway_id: gateway.number for gateway_id, gateway in app.newest.items()}

        async def write(redis: Redis) -> None:
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.zadd(fence, {FENCE: max(numbers.values())}, gt=True)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(fence, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _add_numbers(pipeline, app.app_id, numbers)
                await pipeline.execute()

        await self._masters.run(key, write)

    async def _close_replaced(self, app: App, gateways: list[Gateway]) -> None:
        ids = [gateway.gateway_id for gateway in gateways]
        key = names.gateways(app.app_id)
        scores = await self._masters.run(key, lambda redis: redis.zmscore(key, ids))  # pyright: ignore
        for gateway_id, score in zip(ids, scores, strict=True):
            app.replace(gateway_id, int(score or 0))


def _add_numbers(pipeline: Pipeline, app_id: str, numbers: dict[str, int]) -> None:
    """Write numbers beside their ids, and note that as a change."""
    key, changes = names.gateways(app_id), names.changes(names.shard_of(app_id))
    pipeline.zadd(key, cast("dict[Any, float]", numbers), gt=True)  # pyright: ignore[reportUnknownMemberType]
    pipeline.pexpire(key, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
    pipeline.xadd(changes, {GATEWAYS: app_id}, maxlen=names.CHANGES_KEPT)  # pyright: ignore[reportUnknownMemberType]


def _now_us() -> int:
    return time.time_ns() // 1000
