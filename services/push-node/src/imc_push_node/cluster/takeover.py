"""Takeover: the newest connection of a gatewayId closes the older ones, on all nodes.

Each connection takes a fencing number from the app's fence. The numbers only grow. They begin at the clock's
microseconds, so that they also grow if Redis loses them. The greatest number is written beside the gatewayId
and published to all nodes of the app. A node that misses it sees within a second that the fence has moved.
"""

import asyncio
import time
from collections import defaultdict
from typing import Any, cast

from imc_contracts import names
from imc_service.logs import get_logger
from imc_service.redis.client import database_of
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.gateway.gateway import Gateway
from imc_push_node.stream.hub import App, Hub
from imc_push_node.stream.poll import FENCE

logger = get_logger("takeover")

_Waiting = tuple[Gateway, asyncio.Future[None]]

APPS_AT_ONCE = 16
"""How many apps are registered at once: if Redis hangs, they must not time out one after the other."""

KEEP_US = 30 * 86_400_000_000
"""How long the registrations of nodes that died are kept, and the fence of an app.

Later numbers begin at the clock, and are greater. If a gateway stays connected for longer than this, both are
written again, as after Redis has lost them.
"""

_KEEP_MS = KEEP_US // 1000


class Takeover:
    """Registers gateways. Those that arrive during a round trip share the next. `run` must be running."""

    def __init__(self, redis: Redis, hub: Hub) -> None:
        self._redis = redis
        self._database = database_of(redis)
        self._hub = hub
        self._arrivals: list[_Waiting] = []
        self._departures: list[Gateway] = []
        self._changed = asyncio.Event()

    async def register(self, gateway: Gateway) -> None:
        """Make ``gateway`` the newest of its gatewayId. Older ones are closed, here and on other nodes.

        If an even newer one has arrived meanwhile, ``gateway`` itself is closed.
        Raises `RedisError` or `OSError` if Redis can't be asked.
        """
        registered = asyncio.get_running_loop().create_future()
        self._arrivals.append((gateway, registered))
        self._changed.set()
        await registered

    def leave(self, gateway: Gateway) -> None:
        """Remove the registration of ``gateway``, if it has one. Never waits."""
        if gateway.number:
            self._departures.append(gateway)
            self._changed.set()

    async def run(self) -> None:
        """Register and deregister until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            arrivals, self._arrivals = self._arrivals, []
            departures, self._departures = self._departures, []
            await self._arrive(arrivals)
            await self._depart(departures)

    async def _arrive(self, arrivals: list[_Waiting]) -> None:
        by_app: dict[str, list[_Waiting]] = defaultdict(list)
        for gateway, registered in arrivals:
            # A gateway that has given up meanwhile must not replace one that is connected.
            if not registered.done() and not gateway.socket.has_ended:
                by_app[gateway.app_id].append((gateway, registered))
        apps = list(by_app.items())
        for first in range(0, len(apps), APPS_AT_ONCE):
            some = apps[first : first + APPS_AT_ONCE]
            await asyncio.gather(*(self._arrive_at(app_id, waiting) for app_id, waiting in some))

    async def _arrive_at(self, app_id: str, waiting: list[_Waiting]) -> None:
        fault: Exception | None = None
        try:
            await self._register_app(app_id, [gateway for gateway, _ in waiting])
        except (RedisError, OSError) as error:
            fault = error
        for _, registered in waiting:
            if registered.done():
                continue
            if fault is None:
                registered.set_result(None)
            else:
                registered.set_exception(fault)

    async def _register_app(self, app_id: str, gateways: list[Gateway]) -> None:
        now_us = time.time_ns() // 1000
        fence, key = names.gateway_fence(app_id), names.gateways(app_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zadd(fence, {FENCE: now_us}, gt=True)  # pyright: ignore[reportUnknownMemberType]
            pipeline.zincrby(fence, len(gateways), FENCE)  # pyright: ignore[reportUnknownMemberType]
            pipeline.pexpire(fence, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            _, newest, _ = await pipeline.execute()
        first = int(newest) - len(gateways) + 1
        arrived = [gateway for gateway in gateways if not gateway.socket.has_ended]
        for number, gateway in enumerate(gateways, first):
            if gateway in arrived:
                # Before the number is published: if a newer one is published then, it must find this one.
                self._hub.claim(gateway, number)
        if not arrived:
            return
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zremrangebyscore(key, "-inf", now_us - KEEP_US)  # pyright: ignore[reportUnknownMemberType]
            numbers = {gateway.gateway_id: gateway.number for gateway in arrived}
            pipeline.zadd(key, cast("dict[Any, float]", numbers), gt=True)  # pyright: ignore[reportUnknownMemberType]
            pipeline.pexpire(key, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            for gateway in arrived:
                news = names.news_of(gateway.gateway_id, gateway.number)
                pipeline.publish(names.gateway_news(app_id, self._database), news)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()
        for app in self._hub.apps:
            if app.app_id == app_id:
                # A newer one may have been registered between our two steps, before this one was known.
                await self._close_replaced(app, arrived)

    async def _depart(self, departures: list[Gateway]) -> None:
        if not departures:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for gateway in departures:
                    key, number = names.gateways(gateway.app_id), gateway.number
                    pipeline.zremrangebyscore(key, number, number)  # pyright: ignore[reportUnknownMemberType]
                await pipeline.execute()
        except (RedisError, OSError) as error:
            # These have old numbers: they keep no gateway out.
            logger.debug("registrations stay behind", fault=type(error).__name__, count=len(departures))

    async def check(self, app: App, newest: int) -> bool:
        """Close the gateways whose replacement was not heard of. ``newest`` is the app's fence now.

        Returns whether everything is known up to ``newest``. Raises as `register` does.
        """
        if newest < app.fence:
            # Redis was emptied, or a replica that lags has taken over, perhaps during a takeover. The next
            # two checks find what the other nodes have written.
            await self._write_again(app)
            app.fence_before = app.fence = 0
            return False
        # A number is taken before it is written beside its gatewayId. So a number may not be there yet at
        # this check; it is at the next.
        if newest > app.fence_before:
            await self._close_replaced(app, list(app.newest.values()))
        app.fence_before, app.fence = app.fence, newest
        return app.fence_before == app.fence

    async def _write_again(self, app: App) -> None:
        numbers = {gateway_id: gateway.number for gateway_id, gateway in app.newest.items()}
        if not numbers:
            return
        fence, key = names.gateway_fence(app.app_id), names.gateways(app.app_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zadd(fence, {FENCE: max(numbers.values())}, gt=True)  # pyright: ignore[reportUnknownMemberType]
            pipeline.zadd(key, cast("dict[Any, float]", numbers), gt=True)  # pyright: ignore[reportUnknownMemberType]
            for each in (fence, key):
                pipeline.pexpire(each, _KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()

    async def _close_replaced(self, app: App, gateways: list[Gateway]) -> None:
        if not gateways:
            return
        ids = [gateway.gateway_id for gateway in gateways]
        key = names.gateways(app.app_id)
        scores: list[float | None] = await self._redis.zmscore(key, ids)  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
        for gateway, score in zip(gateways, scores, strict=True):
            if score is not None and int(score) > gateway.number:
                app.replace(gateway.gateway_id, int(score))
