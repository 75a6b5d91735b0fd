"""Entries that could not be written while those beside them could: tried again alone, then put aside.

Nobody else waits for them. They stay unacknowledged meanwhile: if this process dies, another starts over.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from imc_service.logs import get_logger
from imc_service.retry import Backoff
from redis.exceptions import RedisError

from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import MALFORMED, ProjectorMetrics
from imc_command_api.projector.reader import Delivery
from imc_command_api.projector.writer import BatchWriter, Refused, Unreadable

logger = get_logger("projector.quarantine")

TRIES = 5
PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Suspect:
    fault: Refused | Unreadable
    tries: int
    due: float

    @property
    def delivery(self) -> Delivery:
        return self.fault.delivery if isinstance(self.fault, Unreadable) else self.fault.entry.delivery


class Quarantine:
    """``release`` is told of each entry whose case is closed."""

    def __init__(
        self,
        writer: BatchWriter,
        group: LogGroup,
        metrics: ProjectorMetrics,
        release: Callable[[Delivery], None],
    ) -> None:
        self._writer = writer
        self._group = group
        self._metrics = metrics
        self._release = release
        # All pauses are equally long: in the order of arrival is in the order of being due.
        self._suspects: deque[_Suspect] = deque()
        self._arrival = asyncio.Event()

    def add(self, fault: Refused | Unreadable) -> None:
        """Take an entry in; one that can't be read is put aside without further tries."""
        tries, due = (TRIES, 0.0) if isinstance(fault, Unreadable) else (1, time.monotonic() + PAUSE_SECONDS)
        self._append(_Suspect(fault, tries, due))

    async def run(self) -> None:
        """Work on the entries until cancelled."""
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            while self._suspects:
                suspect = self._suspects.popleft()
                await asyncio.sleep(max(0.0, suspect.due - time.monotonic()))
                try:
                    await self._try(suspect)
                except Exception as error:
                    # It stays unacknowledged, and comes back when it is taken over.
                    logger.error("an entry is left for later", exc_info=error)
                    self._release(suspect.delivery)

    async def _try(self, suspect: _Suspect) -> None:
        if isinstance(suspect.fault, Unreadable):
            await self._dead_letter(suspect.delivery, MALFORMED, suspect.fault.reason)
            return
        refused = await self._writer.write([suspect.fault.entry])
        if not refused:
            self._release(suspect.delivery)
        elif suspect.tries + 1 >= TRIES:
            refusal = refused[0].refusal
            await self._dead_letter(suspect.delivery, refusal.kind.value, str(refusal))
        else:
            self._append(_Suspect(refused[0], suspect.tries + 1, time.monotonic() + PAUSE_SECONDS))

    def _append(self, suspect: _Suspect) -> None:
        self._suspects.append(suspect)
        self._arrival.set()

    async def _dead_letter(self, delivery: Delivery, kind: str, reason: str) -> None:
        moved = await Backoff().retry(
            lambda: self._group.dead_letter(delivery.app_id, delivery.entry_id, reason),
            (RedisError, OSError),
            on_retry=self._metrics.retries.inc,
        )
        if moved:
            self._metrics.dead_letters.labels(kind).inc()
            logger.error("an entry was dead-lettered", kind=kind, reason=reason)
        self._release(delivery)
