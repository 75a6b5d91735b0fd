"""The gateway quota: how many gateways of an app may be connected, to all nodes together.

Each gateway of an app with such a quota has a place in Redis. On v1 a place has the name of the gatewayId, so
that a gateway that reconnects has its place still. On the Java door each connection has a place of its own.
The node of a gateway confirms its place; the places of a node that died expire.
"""

import asyncio
import time

from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.quotas import Quotas
from imc_service.logs import get_logger
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.gateway.gateway import Gateway

logger = get_logger("gateway-quota")

CONFIRM_SECONDS = 10.0
KEEP_MS = 30_000
"""How long the places of a node that died stay taken."""

RETRY_SECONDS = 5


class GatewayQuota:
    """Keeps the places of this node's gateways. `run` must be running."""

    def __init__(self, redis: Redis, quotas: Quotas, refusals: Counter) -> None:
        self._redis = redis
        self._quotas = quotas
        self._refusals = refusals
        self._places: dict[str, dict[Gateway, str]] = {}
        """The places of all gateways here, by app: an app may get a quota while they are connected."""
        self._returned: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    async def take(self, app_id: str, place: str) -> None:
        """Take a place for a gateway that is about to connect; raises `Refused` if there is none left.

        While Redis is out of reach nobody is refused here: no gateway is let in then anyway.
        """
        most = self._quotas.of(app_id).gateways
        if most is None:
            return
        key, now_ms = names.gateway_places(app_id), _now_ms()
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", now_ms)  # pyright: ignore[reportUnknownMemberType]
                pipeline.zadd(key, {place: now_ms + KEEP_MS})  # pyright: ignore[reportUnknownMemberType]
                pipeline.zcard(key)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _, is_new, taken, _ = await pipeline.execute()
            if not is_new or taken <= most:
                return
            await self._redis.zrem(key, place)  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
        except (RedisError, OSError) as error:
            logger.debug("a place is not counted", fault=type(error).__name__)
            return
        self._refusals.inc()
        reason = f"the quota of {most} gateways of this app is used up"
        raise Refused(ErrorCode.QUOTA_USED_UP, reason, retry_after=RETRY_SECONDS)

    def enter(self, gateway: Gateway, place: str) -> None:
        """Confirm ``place`` from here on, until ``gateway`` leaves."""
        self._places.setdefault(gateway.app_id, {})[gateway] = place

    def leave(self, gateway: Gateway) -> None:
        """Give the place of ``gateway`` back. If the gateway was replaced, its successor keeps the place."""
        places = self._places[gateway.app_id]
        place = places.pop(gateway)
        if not places:
            del self._places[gateway.app_id]
        if not gateway.is_replaced:
            self.give_back(gateway.app_id, place)

    def give_back(self, app_id: str, place: str) -> None:
        """Give a place back that no gateway here has. Never waits."""
        if self._quotas.of(app_id).gateways is not None:
            self._returned.append((app_id, place))
            self._changed.set()

    async def run(self) -> None:
        """Confirm and return places until cancelled."""
        confirm_at = 0.0
        while True:
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            try:
                await self._return()
                if time.monotonic() >= confirm_at:
                    await self._confirm()
                    confirm_at = time.monotonic() + CONFIRM_SECONDS
            except (RedisError, OSError) as error:
                logger.warning("places are not confirmed", fault=type(error).__name__)

    async def _return(self) -> None:
        returned, self._returned = self._returned, []
        held = {app_id: set(self._places.get(app_id, {}).values()) for app_id, _ in returned}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for app_id, place in returned:
                # A gateway that has reconnected keeps its place. If it did so at another node, that node
                # confirms the place again.
                if place not in held[app_id]:
                    pipeline.zrem(names.gateway_places(app_id), place)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()

    async def _confirm(self) -> None:
        until = _now_ms() + KEEP_MS
        async with self._redis.pipeline(transaction=False) as pipeline:
            for app_id, places in self._places.items():
                if self._quotas.of(app_id).gateways is None:
                    continue
                key = names.gateway_places(app_id)
                pipeline.zadd(key, dict.fromkeys(places.values(), until))  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
