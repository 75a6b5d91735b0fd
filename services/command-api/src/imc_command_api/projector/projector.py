"""The loop: while one batch is being written, the next is already being read and understood."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Sequence

from imc_service import background
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from imc_service.retry import Backoff
from redis.exceptions import RedisError

from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.quarantine import Quarantine
from imc_command_api.projector.reader import Delivery, LogReader
from imc_command_api.projector.upkeep import Upkeep
from imc_command_api.projector.writer import (
    BatchWriter,
    Readable,
    Understood,
    Unreadable,
    transactions_of,
    understand,
)

logger = get_logger("projector")

BACKOFF = Backoff()
"""Between readings that fail."""

DRAIN_SECONDS = 8.0
"""How long the end waits for the batches under way; what is not done by then, another takes over."""


class Projector:
    """Runs inside `running`; nothing stops it but its end, whatever fails."""

    def __init__(
        self,
        reader: LogReader,
        writer: BatchWriter,
        group: LogGroup,
        upkeep: Upkeep,
        metrics: ProjectorMetrics,
        claim_idle_seconds: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._upkeep = upkeep
        self._metrics = metrics
        # The entries in this process. While the database is away they grow old enough to be claimed, also by
        # this consumer itself, and must not be taken in once more.
        self._held: set[tuple[str, bytes]] = set()
        self._quarantine = Quarantine(writer, group, metrics, self._release)
        # One batch waits while one is written and one is read: memory stays bounded.
        self._batches: asyncio.Queue[list[Understood] | None] = asyncio.Queue(1)
        self._claim_seconds = claim_idle_seconds / 3
        self._claim_at = 0.0
        self._stopping = False
        self.reading = Outage(logger.warning, "reading the logs")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run in the background; at the end, finish the batches under way."""
        main = [asyncio.create_task(work()) for work in (self._keep_reading, self._keep_writing)]
        aside = [
            asyncio.create_task(work())
            for work in (self._quarantine.run, self._upkeep.keep_trimming, self._upkeep.keep_measuring)
        ]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.wait(main, timeout=DRAIN_SECONDS)
            await background.end((*main, *aside))

    async def _keep_reading(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                if time.monotonic() >= self._claim_at:
                    await self._claim()
                deliveries = await self._reader.read()
                self.reading.is_over()
                await self._hand_on(deliveries)
                failures = 0
            except (RedisError, OSError) as error:
                self.reading.goes_on(words_of(error))
                self._metrics.retries.inc()
                await BACKOFF.pause(failures := failures + 1)
            except Exception as error:
                logger.error("reading failed", exc_info=error)
                await BACKOFF.pause(failures := failures + 1)
        await self._batches.put(None)

    async def _claim(self) -> None:
        async with contextlib.aclosing(self._reader.claim()) as claims:
            async for deliveries in claims:
                self._metrics.taken_over.inc(await self._hand_on(deliveries))
        self._claim_at = time.monotonic() + self._claim_seconds

    async def _hand_on(self, deliveries: list[Delivery]) -> int:
        fresh = [delivery for delivery in deliveries if delivery.key not in self._held]
        if fresh:
            # Here rather than where it is written: while the database works, this process has time to.
            understood = [understand(delivery) for delivery in fresh]
            self._held.update(delivery.key for delivery in fresh)
            await self._batches.put(understood)
        return len(fresh)

    async def _keep_writing(self) -> None:
        while (batch := await self._batches.get()) is not None:
            for part in transactions_of(batch):
                try:
                    await self._write(part)
                except Exception as error:
                    # They stay unacknowledged, and come back when they are taken over.
                    logger.error("entries are left for later", exc_info=error)
                    for entry in part:
                        self._release(entry.delivery)

    async def _write(self, part: Sequence[Understood]) -> None:
        unreadable = [entry for entry in part if isinstance(entry, Unreadable)]
        refused = await self._writer.write([entry for entry in part if isinstance(entry, Readable)])
        for fault in (*unreadable, *refused):
            self._quarantine.add(fault)
        kept = {entry.delivery.key for entry in (*unreadable, *(each.entry for each in refused))}
        for entry in part:
            if entry.delivery.key not in kept:
                self._release(entry.delivery)

    def _release(self, delivery: Delivery) -> None:
        self._held.discard(delivery.key)
