"""Projects the logs that one master has. While one batch is written, the next one is read."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from imc_service import background, ticks
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from imc_service.retry import Backoff
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_command_api.erasure.eraser import Eraser
from imc_command_api.projector.logs import READ_APPS, Ahead, Lag, Logs, ProjectedStretch
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.quarantine import Quarantine, count_letters, letters_of
from imc_command_api.projector.stretch import Stretch, transactions_of
from imc_command_api.projector.writer import StretchWriter

logger = get_logger("projector")

BACKOFF = Backoff()
"""Between turns that fail."""

CALM_SECONDS = 0.1, 0.4
"""How long nothing is asked after nothing was found: at first, and if nothing was found again and again."""

CALMER = 1.25
"""How much longer it is each time."""

UPKEEP_SECONDS = 2.0
LAG_SECONDS = 2.0
ERASE_SECONDS = 2.0
ERASE_PAUSE_SECONDS = 0.5
"""Between two turns while an erasure is under way."""

_MOST_STEPS = 10_000


class Worker:
    """Works on `shards` until it is told to end. No failure stops it, nor does one of another master."""

    def __init__(
        self, redis: Redis, logs: Logs, writer: StretchWriter, metrics: ProjectorMetrics, eraser: Eraser
    ) -> None:
        """``redis`` is the client of the master."""
        self.shards: frozenset[int] = frozenset()
        """The shards to work on, which this master has and this projector owns."""
        self.lag = Lag()
        self.reading = Outage(logger.warning, "reading the logs")
        self._redis = redis
        self._logs = logs
        self._writer = writer
        self._metrics = metrics
        self._eraser = eraser
        self._quarantine = Quarantine(logs, writer, metrics)
        self._ahead: dict[str, Ahead] = {}
        """How far apps were read whose positions were not moved as far yet."""
        self._stopping = asyncio.Event()
        self._projecting = asyncio.create_task(self._keep_projecting())
        self._aside = [
            asyncio.create_task(self._keep(work, seconds, what))
            for work, seconds, what in (
                (self.tidy, UPKEEP_SECONDS, "upkeep of the logs"),
                (self._measure, LAG_SECONDS, "measuring the lag"),
                (self._erase, ERASE_SECONDS, "erasing"),
            )
        ]

    async def finish(self, seconds: float) -> None:
        """Read no more, end what was begun within ``seconds``, and stop."""
        self._stopping.set()
        await asyncio.wait([self._projecting], timeout=seconds)
        await background.end([self._projecting, *self._aside])
        await self._quarantine.end()

    async def tidy(self) -> None:
        """Remove what need not be kept of the apps that are due."""
        for app_id in await self._logs.due(self.shards):
            for _ in range(_MOST_STEPS):
                removed, is_forgotten = await self._logs.tidy(app_id)
                self._metrics.trimmed.inc(removed)
                self._metrics.forgotten_apps.inc(is_forgotten)
                if not removed:
                    break

    async def _erase(self) -> None:
        while True:
            is_at_work = await self._eraser.work(self.shards)
            if not is_at_work:
                return
            await asyncio.sleep(ERASE_PAUSE_SECONDS)

    async def _measure(self) -> None:
        self.lag = await self._logs.lag(self._redis, self.shards)

    async def _keep_projecting(self) -> None:
        failures, are_apart = 0, False
        while not self._stopping.is_set():
            try:
                await (self._project_each() if are_apart else self._project())
                failures, are_apart = 0, False
            except (RedisError, OSError) as error:
                self.reading.goes_on(words_of(error))
                self._metrics.retries.inc()
                await BACKOFF.pause(failures := failures + 1)
            except Exception as error:
                logger.error("entries are left for later", exc_info=error)
                are_apart = True
                await BACKOFF.pause(failures := failures + 1)
            self._ahead.clear()

    async def _project(self) -> None:
        """Read and write until told to end."""
        writing: asyncio.Task[set[str]] | None = None
        calm = CALM_SECONDS[0]
        try:
            while not self._stopping.is_set():
                batch = await self._read()
                self.reading.is_over()
                if writing is not None:
                    left = await writing
                    # What follows on a stretch that is not in the database would leave a hole.
                    batch = [stretch for stretch in batch if stretch.app_id not in left]
                    for app_id in left:
                        self._ahead.pop(app_id, None)
                elif not batch:
                    await self._pause(calm)
                    calm = min(calm * CALMER, CALM_SECONDS[1])
                if batch:
                    calm = CALM_SECONDS[0]
                writing = asyncio.create_task(self._write(batch)) if batch else None
        finally:
            if writing is not None:
                await writing

    async def _project_each(self) -> None:
        """Read and write each app by itself, once. An app that fails is set aside: it stops no other."""
        for app_id in await self._next_apps():
            try:
                for stretch in await self._logs.read(self._redis, [app_id], {}):
                    await self._write([stretch])
            except (RedisError, OSError):
                raise
            except Exception as error:
                logger.error("an app is left for later", exc_info=error)
                self._quarantine.rest(app_id)

    async def _next_apps(self) -> list[str]:
        waiting = await self._logs.pending(self.shards)
        return [app_id for app_id in waiting if app_id not in self._quarantine][:READ_APPS]

    async def _read(self) -> list[Stretch]:
        app_ids = await self._next_apps()
        batch = await self._logs.read(self._redis, app_ids, self._ahead) if app_ids else []
        for stretch in batch:
            self._ahead[stretch.app_id] = stretch.epoch, stretch.end
        return batch

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _write(self, batch: Sequence[Stretch]) -> set[str]:
        """Write a batch, and move the positions; returns the apps for which that was not all done."""
        left: set[str] = set()
        for part in transactions_of(batch):
            part = [stretch for stretch in part if stretch.app_id not in left]
            left |= await self._write_part(part) if part else set()
        for stretch in batch:
            if self._ahead.get(stretch.app_id) == (stretch.epoch, stretch.end):
                del self._ahead[stretch.app_id]
        return left

    async def _write_part(self, part: Sequence[Stretch]) -> set[str]:
        refused = await self._writer.write(part)
        # After the commit: what is moved past before could be lost. Writing an entry twice does no harm.
        done = [ProjectedStretch(each, letters_of(each)) for each in part if each.app_id not in refused]
        left = set(refused)
        for progress, is_moved in zip(done, await self._logs.advance(done), strict=True):
            if is_moved:
                count_letters(progress.letters, self._metrics)
            else:
                left.add(progress.stretch.app_id)
        for stretch in part:
            if stretch.app_id in refused:
                self._quarantine.add(stretch, refused[stretch.app_id])
        return left

    async def _keep(self, work: Callable[[], Awaitable[None]], seconds: float, what: str) -> None:
        outage = Outage(logger.debug, what)
        while True:
            try:
                await work()
                outage.is_over()
            except (RedisError, OSError) as error:
                outage.goes_on(words_of(error))
            except Exception as error:
                logger.error("left for the next round", exc_info=error)
            await asyncio.sleep(ticks.pause(seconds))
