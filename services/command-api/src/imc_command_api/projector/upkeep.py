"""Keeps the logs small and the metrics up to date. Several projectors may do this at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from redis.exceptions import RedisError

from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.reader import LogReader

logger = get_logger("projector.upkeep")

LAG_SECONDS = 2.0
ROUND_SECONDS = 10.0
DAY_MS = 86_400_000
FORGET_AFTER_MS = 3_600_000
EMPTY_SECONDS = 60.0
"""How long an app without an entry is kept: its first send follows right after it is added to the list."""

_MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a log is kept once the database has it. Entries within both bounds stay."""

    milliseconds: int
    entries: int
    app_milliseconds: int = DAY_MS
    """How long an app is kept after its last entry, if it has no gateways and no dead letters."""


class Upkeep:
    """Trims logs, removes consumers and apps that are gone, and measures the lag."""

    def __init__(
        self, group: LogGroup, reader: LogReader, retention: Retention, metrics: ProjectorMetrics
    ) -> None:
        self._group = group
        self._reader = reader
        self._retention = retention
        self._metrics = metrics

    async def keep_trimming(self) -> None:
        """Tidy all logs every ten seconds until cancelled."""
        await self._keep(self.tidy, ROUND_SECONDS, Outage(logger.debug, "trimming the logs"))

    async def keep_measuring(self) -> None:
        """Measure the lag every two seconds until cancelled."""
        await self._keep(self.measure, LAG_SECONDS, Outage(logger.debug, "measuring the lag"))

    async def tidy(self) -> None:
        """Trim each log to its retention; forget consumers and apps that are long gone."""
        for app_id in self._reader.app_ids:
            for _ in range(_MOST_STEPS):
                removed = await self._group.trim(
                    app_id, self._retention.milliseconds, self._retention.entries
                )
                if removed == 0:
                    break
                self._metrics.trimmed.inc(removed)
            await self._group.forget_consumers(app_id, FORGET_AFTER_MS)
            may_be_empty = self._reader.knows_for(app_id) >= EMPTY_SECONDS
            keep_ms = self._retention.app_milliseconds
            if await self._group.forget_app(app_id, keep_ms, may_be_empty=may_be_empty):
                self._reader.forget(app_id)
                self._metrics.forgotten_apps.inc()

    async def measure(self) -> None:
        """Set the metrics of the lag."""
        lag = await self._group.lag(self._reader.app_ids)
        self._metrics.lag_entries.set(lag.entries)
        self._metrics.lag_entries_of_one_app.set(lag.entries_of_one_app)
        self._metrics.lag_seconds.set(lag.seconds)

    async def _keep(self, work: Callable[[], Awaitable[None]], seconds: float, outage: Outage) -> None:
        while True:
            try:
                await work()
                outage.is_over()
            except (RedisError, OSError) as error:
                outage.goes_on(words_of(error))
            except Exception as error:
                logger.error("left for the next round", exc_info=error)
            await asyncio.sleep(seconds)
