"""The gateway quota: how many gateways of an app may be connected, to all nodes together.

Each gateway of an app with such a quota has a slot in Redis. On v1 a slot has the name of the gatewayId, so
that a gateway that reconnects has its slot still. On the Java door each connection has a slot of its own.
The node of a gateway confirms its slot; the slots of a node that died expire.
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
"""How long the slots of a node that died stay taken."""

RETRY_SECONDS = 5


class GatewayQuota:
    """Keeps the slots of this node's gateways. `run` must be running."""

    def __init__(self, redis: Redis, quotas: Quotas, refusals: Counter) -> None:
        self._redis = redis
        self._quotas = quotas
        self._refusals = refusals
        self._slots: dict[str, dict[Gateway, str]] = {}
        """The slots of all gateways here, by app: an app may get a quota while they are connected."""
        self._returned: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    async def take(self, app_id: str, slot: str) -> None:
        """Take a slot for a gateway that is about to connect; raises `Refused` if there is none left.

        While Redis is out of reach nobody is refused here: no gateway is let in then anyway.
        """
        most = self._quotas.of(app_id).gateways
        if most is None:
            return
        key, now_ms = names.gateway_slots(app_id), _now_ms()
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", now_ms)  # pyright: ignore[reportUnknownMemberType]
                pipeline.zadd(key, {slot: now_ms + KEEP_MS})  # pyright: ignore[reportUnknownMemberType]
                pipeline.zcard(key)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _, is_new, taken, _ = await pipeline.execute()
            if not is_new or taken <= most:
                return
            await self._redis.zrem(key, slot)  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
        except (RedisError, OSError) as error:
            logger.debug("a slot is not counted", fault=type(error).__name__)
            return
        self._refusals.inc()
        reason = f"the quota of {most} gateways of this app is used up"
        raise Refused(ErrorCode.QUOTA_USED_UP, reason, retry_after=RETRY_SECONDS)

    def enter(self, gateway: Gateway, slot: str) -> None:
        """Confirm ``slot`` from here on, until ``gateway`` leaves."""
        self._slots.setdefault(gateway.app_id, {})[gateway] = slot

    def leave(self, gateway: Gateway) -> None:
        """Give the slot of ``gateway`` back. If the gateway was replaced, its successor keeps the slot."""
        slots = self._slots[gateway.app_id]
        slot = slots.pop(gateway)
        if not slots:
            del self._slots[gateway.app_id]
        if not gateway.is_replaced:
            self.give_back(gateway.app_id, slot)

    def give_back(self, app_id: str, slot: str) -> None:
        """Give a slot back that no gateway here has. Never waits."""
        if self._quotas.of(app_id).gateways is not None:
            self._returned.append((app_id, slot))
            self._changed.set()

    async def run(self) -> None:
        """Confirm and return slots until cancelled."""
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
                logger.warning("slots are not confirmed", fault=type(error).__name__)

    async def _return(self) -> None:
        returned, self._returned = self._returned, []
        held = {app_id: set(self._slots.get(app_id, {}).values()) for app_id, _ in returned}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for app_id, slot in returned:
                # A gateway that has reconnected keeps its slot. If it did so at another node, that node
                # confirms the slot again.
                if slot not in held[app_id]:
                    pipeline.zrem(names.gateway_slots(app_id), slot)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()

    async def _confirm(self) -> None:
        until = _now_ms() + KEEP_MS
        async with self._redis.pipeline(transaction=False) as pipeline:
            for app_id, slots in self._slots.items():
                if self._quotas.of(app_id).gateways is None:
                    continue
                key = names.gateway_slots(app_id)
                pipeline.zadd(key, dict.fromkeys(slots.values(), until))  # pyright: ignore[reportUnknownMemberType, reportArgumentType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
            await pipeline.execute()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
