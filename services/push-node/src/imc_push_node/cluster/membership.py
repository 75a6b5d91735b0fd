"""The push-nodes that are ready now, for gateways that are pinned to one.

A node with an address of its own keeps a lease on it in Redis while it is ready, and gives it up as soon as
it is told to stop. When a node renews its lease it also reads the addresses of all others, so that an answer
costs no round trip. Two nodes may answer differently for a moment; each of them serves the gateway alike.
"""

import asyncio
import contextlib
from typing import cast
from urllib.parse import quote

from imc_contracts import names
from imc_contracts.errors import unavailable
from imc_contracts.views import Node
from imc_service import ticks
from imc_service.health import Readiness
from imc_service.logs import get_logger
from imc_service.redis.masters import Masters
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.cluster.placement import home

logger = get_logger("membership")

RENEW_SECONDS = 1.5
LEASE_SECONDS = 5.0
"""How long gateways are still pinned to a node that died, and how old an answer may be."""


class Membership:
    """This node among all. `run` must be running."""

    def __init__(self, masters: Masters, readiness: Readiness, own_address: str | None) -> None:
        self._masters = masters
        self._readiness = readiness
        self._own_address = own_address
        self._nodes: list[str] = []
        self._read_at = 0.0
        self._due = asyncio.Event()
        readiness.on_retire.append(self._due.set)

    def home_of(self, app_id: str, gateway_id: str) -> Node:
        """The node that a gateway belongs to. Raises `Refused` (`UNAVAILABLE`) if none is known now."""
        if _now() - self._read_at > LEASE_SECONDS or not self._nodes:
            raise unavailable("no push-node with an address of its own is known to be ready")
        url = home(self._nodes, app_id, gateway_id)
        path = f"/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}"
        return {"url": url, "connectUrl": url + path}

    async def run(self) -> None:
        """Renew the lease and read those of the others, until cancelled."""
        while True:
            self._due.clear()
            try:
                await self._renew()
            except (RedisError, OSError) as error:
                logger.debug("the lease is not renewed", fault=type(error).__name__)
            except Exception as error:
                logger.error("the lease is not renewed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ticks.pause(RENEW_SECONDS)):
                    await self._due.wait()

    async def _renew(self) -> None:
        """Renew the lease, or give it up, and read which nodes have one."""
        is_ready = not await self._readiness.reasons()
        asked_at = _now()
        nodes = await self._masters.run(
            names.PUSH_NODES, lambda redis: self._renew_at(redis, is_ready=is_ready)
        )
        self._nodes = [node.decode() for node in nodes]
        self._read_at = asked_at

    async def _renew_at(self, redis: Redis, *, is_ready: bool) -> list[bytes]:
        # The clock of Redis counts, so that those of the nodes need not agree. If Redis hangs before the
        # second step, this time is old: our lease gets shorter, and ended leases stay until the next time.
        seconds, microseconds = await redis.time()  # pyright: ignore[reportUnknownMemberType]
        now_ms = seconds * 1000 + microseconds // 1000
        async with redis.pipeline(transaction=True) as pipeline:
            if self._own_address is not None and is_ready:
                ends = now_ms + int(LEASE_SECONDS * 1000)
                pipeline.zadd(names.PUSH_NODES, {self._own_address: ends})  # pyright: ignore[reportUnknownMemberType]
            elif self._own_address is not None:
                pipeline.zrem(names.PUSH_NODES, self._own_address)  # pyright: ignore[reportUnknownMemberType]
            pipeline.zremrangebyscore(names.PUSH_NODES, "-inf", now_ms)  # pyright: ignore[reportUnknownMemberType]
            pipeline.zrange(names.PUSH_NODES, 0, -1)  # pyright: ignore[reportUnknownMemberType]
            *_, nodes = await pipeline.execute()
        return cast("list[bytes]", nodes)


def _now() -> float:
    return asyncio.get_running_loop().time()
