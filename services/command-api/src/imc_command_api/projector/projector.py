"""Owns shards, and has a worker for each master that holds some of them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from imc_contracts import names
from imc_service import background, ticks
from imc_service.activity import Backlog
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from imc_service.redis.masters import Masters
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.ownership import RENEW_SECONDS, Ownership
from imc_command_api.projector.worker import Worker

logger = get_logger("projector")

DRAIN_SECONDS = 8.0
"""How long stopping waits for unfinished batches. The next owner of their shards does the rest."""

RELEASE_SECONDS = 1.0

UNSETTLED_SECONDS = 0.1
"""How soon is looked again while projectors share out shards: nobody projects one that is free."""


class Projector:
    """Runs inside `running`. No failure stops it."""

    def __init__(
        self,
        masters: Masters,
        ownership: Ownership,
        worker_on: Callable[[Redis], Worker],
        metrics: ProjectorMetrics,
        backlog: Backlog,
    ) -> None:
        """``worker_on`` makes a worker on the client of a master, which begins at once."""
        self._backlog = backlog
        self._masters = masters
        self._ownership = ownership
        self._worker_on = worker_on
        self._metrics = metrics
        self._workers: dict[Redis, Worker] = {}
        self._gone: set[asyncio.Task[None]] = set()
        self._owning = Outage(logger.warning, "sharing the logs with other projectors")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run in the background; finish the unfinished batches at the end, and give up the shards."""
        owning = asyncio.create_task(self._keep_owning())
        try:
            yield
        finally:
            await background.end([owning])
            await asyncio.gather(*(worker.finish(DRAIN_SECONDS) for worker in self._workers.values()))
            await asyncio.gather(*self._gone)
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self._ownership.release()

    async def reading(self) -> str | None:
        """A readiness check: why logs are not read, or None."""
        outages = (self._owning, *(worker.reading for worker in self._workers.values()))
        return next((outage.words for outage in outages if outage.words is not None), None)

    async def _keep_owning(self) -> None:
        while True:
            is_settled = True
            try:
                is_settled = await self._ownership.renew()
                self._owning.is_over()
            except (RedisError, OSError) as error:
                self._owning.goes_on(words_of(error))
            except Exception as error:
                logger.error("shards are left as they are", exc_info=error)
            self._assign()
            self._tell()
            await asyncio.sleep(ticks.pause(RENEW_SECONDS if is_settled else UNSETTLED_SECONDS))

    def _assign(self) -> None:
        """Give each master's worker its shards. Masters come and go, and shards move between them."""
        shards = {names.pending(shard): shard for shard in self._ownership.shards}
        parts = {
            redis: frozenset(map(shards.__getitem__, keys)) for redis, keys in self._masters.by_master(shards)
        }
        for redis in self._workers.keys() - parts.keys():
            gone = asyncio.create_task(self._workers.pop(redis).finish(DRAIN_SECONDS))
            self._gone.add(gone)
            gone.add_done_callback(self._gone.discard)
        for redis, own in parts.items():
            if redis not in self._workers:
                self._workers[redis] = self._worker_on(redis)
            self._workers[redis].shards = own

    def _tell(self) -> None:
        lags = [worker.lag for worker in self._workers.values()]
        self._metrics.shards.set(len(self._ownership.shards))
        entries = sum(lag.entries for lag in lags)
        self._backlog.is_now(entries)
        self._metrics.lag_entries.set(entries)
        self._metrics.lag_entries_of_one_app.set(max((lag.entries_of_one_app for lag in lags), default=0))
        self._metrics.lag_seconds.set(max((lag.seconds for lag in lags), default=0))
