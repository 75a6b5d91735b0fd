"""The quota of gateways: how many of an app may be connected, to all nodes together.

Each gateway of an app with such a quota has a place in Redis, by its gatewayId, so that one that comes again
has its place still. The node that holds it confirms the place; those of a node that died run out. Apps
without a quota cost nothing.
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
from imc_push_node.stream.hub import Hub

logger = get_logger("places")

CONFIRM_SECONDS = 10.0
KEEP_MS = 30_000
"""How long the places of a node that died stay taken."""

RETRY_SECONDS = 5


class GatewayQuota:
    """Gives the places of this node's gateways. `run` must be running."""

    def __init__(self, redis: Redis, hub: Hub, quotas: Quotas, refusals: Counter) -> None:
        self._redis = redis
        self._hub = hub
        self._quotas = quotas
        self._refusals = refusals
        self._left: list[Gateway] = []
        self._changed = asyncio.Event()
        hub.on_leave.append(self._leave)

    async def take(self, app_id: str, gateway_id: str) -> None:
        """Give a gateway that is about to connect its place; raises `Refused` if there is none left.

        A Redis out of reach keeps nobody out here: without it no gateway is let in anyway.
        """
        most = self._quotas.of(app_id).gateways
        if most is None:
            return
        key, now_ms = names.gateway_places(app_id), _now_ms()
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", now_ms)  # pyright: ignore[reportUnknownMemberType]
                pipeline.zadd(key, {gateway_id: now_ms + KEEP_MS})  # pyright: ignore[reportUnknownMemberType]
                pipeline.zcard(key)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _, is_new, taken, _ = await pipeline.execute()
            if not is_new or taken <= most:
                return
            await self._redis.zrem(key, gateway_id)  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
        except (RedisError, OSError) as error:
            logger.debug("a place is not counted", fault=type(error).__name__)
            return
        self._refusals.inc()
        words = f"the quota of {most} gateways of this app is used up"
        raise Refused(ErrorCode.QUOTA_USED_UP, words, retry_after=RETRY_SECONDS)

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

    def _leave(self, gateway: Gateway) -> None:
        # The place of one that was replaced is its successor's.
        if not gateway.is_replaced and self._quotas.of(gateway.app_id).gateways is not None:
            self._left.append(gateway)
            self._changed.set()

    async def _return(self) -> None:
        left, self._left = self._left, []
        held = self._held()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for gateway in left:
                # One that has come again keeps it; if it did so elsewhere, that node confirms it anew.
                if gateway.gateway_id not in held.get(gateway.app_id, ()):
                    pipeline.zrem(names.gateway_places(gateway.app_id), gateway.gateway_id)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()

    async def _confirm(self) -> None:
        until = _now_ms() + KEEP_MS
        async with self._redis.pipeline(transaction=False) as pipeline:
            for app_id, gateway_ids in self._held().items():
                key = names.gateway_places(app_id)
                pipeline.zadd(key, dict.fromkeys(gateway_ids, until))  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()

    def _held(self) -> dict[str, set[str]]:
        """The gatewayIds here of each app that has a quota, those included that came before it had one."""
        return {
            app.app_id: {gateway.gateway_id for gateway in app.members}
            for app in self._hub.apps
            if app.members and self._quotas.of(app.app_id).gateways is not None
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
