"""Which push-nodes are ready now, for gateways that are pinned to one.

A node that has an address of its own keeps a lease on it in Redis for as long as it is ready, and gives it up
at the moment it is told to stop. Each reads the addresses of all in the background, as it renews, so that a
question costs nobody a round trip. Where nodes differ for a moment, a gateway connects to the one or the
other: it is served by both alike.
"""

import asyncio
import contextlib
from typing import cast

from imc_contracts import names
from imc_contracts.errors import unavailable
from imc_contracts.views import Node
from imc_service.health import Readiness
from imc_service.logs import logger
from imc_service.redis_client import script_in
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.pinning import home

log = logger("membership")

RENEW_SECONDS = 1.0
LEASE_SECONDS = 5.0
"""How long a node that died without a word is still pinned to, and how old an answer may be."""


class Membership:
    """One node among all. `run` must be running."""

    def __init__(self, redis: Redis, readiness: Readiness, own_address: str | None) -> None:
        self._script = script_in(redis, "imc_push_node", "renew.lua")
        self._readiness = readiness
        self._own_address = own_address
        self._nodes: list[str] = []
        self._read_at = 0.0
        self._due = asyncio.Event()
        readiness.on_retire.append(self._due.set)

    def home_of(self, app_id: str, gateway_id: str) -> Node:
        """The node that a gateway belongs to. Raises `Refused` (`UNAVAILABLE`) if none is known just now."""
        if _now() - self._read_at > LEASE_SECONDS or not self._nodes:
            raise unavailable("no push-node with an address of its own is known to be ready")
        url = home(self._nodes, app_id, gateway_id)
        return {"url": url, "connectUrl": f"{url}/chat/message/broadcast/{app_id}/{gateway_id}"}

    async def run(self) -> None:
        """Keep the lease and read the others', until cancelled."""
        while True:
            self._due.clear()
            try:
                await self._renew()
            except (RedisError, OSError) as error:
                log.debug("the lease is not renewed", fault=type(error).__name__)
            except Exception as error:
                log.error("the lease is not renewed", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_SECONDS):
                    await self._due.wait()

    async def _renew(self) -> None:
        lease_ms = 0 if await self._readiness.reasons() else int(LEASE_SECONDS * 1000)
        asked_at = _now()
        reply = await self._script(keys=[names.PUSH_NODES], args=[self._own_address or "", lease_ms])
        self._nodes = [node.decode() for node in cast("list[bytes]", reply)]
        self._read_at = asked_at


def _now() -> float:
    return asyncio.get_running_loop().time()
