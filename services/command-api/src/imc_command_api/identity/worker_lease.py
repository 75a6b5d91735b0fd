"""The lease of a worker number, renewed in the background."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator
from typing import cast

from imc_contracts import names
from imc_service import background, ticks
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from imc_service.redis.masters import Masters
from redis.exceptions import RedisError

from imc_command_api.domain.ids import WORKERS
from imc_command_api.identity.snowflake import Snowflakes

logger = get_logger("worker-lease")

RENEW_SECONDS = 5.0
RETRY_SECONDS = 0.5
LEASE_MS = 60_000
"""How long a number stays with an owner that died."""

RESERVED_MS = 60_000
"""How far ahead an owner reserves id time: for so long it can make ids without Redis."""


class WorkerLease:
    """Keeps ``ids`` under a worker number that no other process has."""

    def __init__(self, masters: Masters, ids: Snowflakes) -> None:
        self._script = masters.script("imc_command_api.identity", "lease.lua")
        self._ids = ids
        self._owner = secrets.token_hex(8)
        self._worker = -1
        self._outage = Outage(logger.debug, "renewing the lease of a worker number")

    async def renew(self) -> None:
        """Lease a number, or prolong the lease; raises what redis-py raises."""
        reply = cast(
            "list[int]",
            await self._script(
                keys=[names.WORKERS],
                args=[
                    self._owner,
                    self._worker,
                    max(self._ids.clock(), self._ids.last_ms),
                    RESERVED_MS,
                    LEASE_MS,
                    WORKERS,
                    secrets.randbelow(WORKERS),
                ],
            ),
        )
        if not reply:
            logger.error("every worker number is leased", workers=WORKERS)
            return
        worker, floor_ms, until_ms = reply
        if worker != self._worker:
            logger.info("worker number leased", worker=worker)
        self._worker = worker
        self._ids.lease(worker, floor_ms, until_ms)

    async def keep(self) -> None:
        """Renew for ever, also after Redis was out of reach."""
        while True:
            try:
                await self.renew()
                self._outage.is_over()
                pause = RENEW_SECONDS
            except (RedisError, OSError) as error:
                self._outage.goes_on(words_of(error))
                pause = RETRY_SECONDS
            except Exception as error:
                # Without this task no id can be made any more.
                logger.error("lease not renewed", exc_info=error)
                pause = RETRY_SECONDS
            await asyncio.sleep(ticks.pause(pause if self._ids.is_leased else RETRY_SECONDS))

    async def ready(self) -> str | None:
        """A readiness check: why no ids can be made, or None."""
        return None if self._ids.is_leased else "no worker number is leased from Redis"


@contextlib.asynccontextmanager
async def worker_lease(masters: Masters, ids: Snowflakes) -> AsyncGenerator[WorkerLease]:
    """Keep a lease for ``ids`` while the context lasts."""
    lease = WorkerLease(masters, ids)
    async with background.running(lease.keep()):
        yield lease
