"""The gateway quota: how many gateways of an app may be connected, to all nodes together.

Each gateway of an app with such a quota has a slot in Redis. On v1 a slot has the name of the gatewayId, so
that a gateway that reconnects has its slot still. On the Java door each connection has a slot of its own.
The node of a gateway confirms its slot; the slots of a node that died expire.
"""

import asyncio
import time
from collections.abc import Sequence

from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.policies import Policies
from imc_service.logs import get_logger
from imc_service.redis.masters import Argument, Masters
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.gateway.gateway import Gateway, Transport

logger = get_logger("gateway-quota")

CONFIRM_SECONDS = 10.0
KEEP_MS = 30_000
"""How long the slots of a node that died stay taken."""

RETRY_SECONDS = 5

_Write = tuple[str, Sequence[Argument]]
"""A command and the key that it is for."""


class GatewayQuota:
    """Keeps the slots of this node's gateways. `run` must be running."""

    def __init__(self, masters: Masters, policies: Policies, refusals: Counter) -> None:
        self._masters = masters
        self._policies = policies
        self._refusals = refusals
        self._slots: dict[str, dict[Gateway, str]] = {}
        """The slots of all gateways here, by app: an app may get a quota while they are connected."""
        self._returned: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    async def take(self, app_id: str, slot: str) -> None:
        """Take a slot for a gateway that is about to connect; raises `Refused` if there is none left.

        While Redis is out of reach nobody is refused here: no gateway is let in then anyway.
        """
        most = self._policies.of(app_id).quota.gateways
        if most is None:
            return
        key = names.gateway_slots(app_id)

        async def take(redis: Redis) -> tuple[int, int]:
            now_ms = _now_ms()
            async with redis.pipeline(transaction=True) as pipeline:
                pipeline.zremrangebyscore(key, "-inf", now_ms)  # pyright: ignore[reportUnknownMemberType]
                pipeline.zadd(key, {slot: now_ms + KEEP_MS})  # pyright: ignore[reportUnknownMemberType]
                pipeline.zcard(key)  # pyright: ignore[reportUnknownMemberType]
                pipeline.pexpire(key, KEEP_MS)  # pyright: ignore[reportUnknownMemberType]
                _, is_new, taken, _ = await pipeline.execute()
            return is_new, taken

        try:
            is_new, taken = await self._masters.run(key, take)
            if not is_new or taken <= most:
                return
            await self._masters.run(key, lambda redis: redis.zrem(key, slot))  # pyright: ignore
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
        """Give the slot of ``gateway`` back. If the gateway was replaced, its successor keeps the slot.

        That of a poll stays taken until it expires: the gateway is about to ask again.
        """
        slots = self._slots[gateway.app_id]
        slot = slots.pop(gateway)
        if not slots:
            del self._slots[gateway.app_id]
        if not gateway.is_replaced and gateway.transport is not Transport.POLL:
            self.give_back(gateway.app_id, slot)

    def give_back(self, app_id: str, slot: str) -> None:
        """Give a slot back that no gateway here has. Never waits."""
        if self._policies.of(app_id).quota.gateways is not None:
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
            writes = self._returns()
            if time.monotonic() >= confirm_at:
                writes += self._confirmations()
                confirm_at = time.monotonic() + CONFIRM_SECONDS
            # One that fails is none of the others' business: their slots must not expire.
            replies = await self._masters.each(writes)
            if faults := [reply for reply in replies if isinstance(reply, Exception)]:
                logger.warning("slots are not confirmed", fault=type(faults[0]).__name__, count=len(faults))

    def _returns(self) -> list[_Write]:
        """What gives slots back that no gateway has any more.

        A gateway that has reconnected keeps its slot. If it did so at another node, that node confirms the
        slot again.
        """
        returned, self._returned = self._returned, []
        held = {app_id: set(self._slots.get(app_id, {}).values()) for app_id, _ in returned}
        gone = [(names.gateway_slots(app_id), slot) for app_id, slot in returned if slot not in held[app_id]]
        return [(key, ("ZREM", key, slot)) for key, slot in gone]

    def _confirmations(self) -> list[_Write]:
        """What confirms all slots of this node."""
        until, writes = _now_ms() + KEEP_MS, list[_Write]()
        for app_id, slots in self._slots.items():
            if self._policies.of(app_id).quota.gateways is not None:
                key = names.gateway_slots(app_id)
                scores = [part for slot in slots.values() for part in (until, slot)]
                writes += [(key, ("ZADD", key, *scores)), (key, ("PEXPIRE", key, KEEP_MS))]
        return writes


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
