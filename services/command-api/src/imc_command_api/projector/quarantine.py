"""Entries that could not be written while those beside them could: tried again alone, then put aside.

Nobody else waits for them. They stay unacknowledged meanwhile: if this process dies, another starts over.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from imc_service.logs import logger
from redis.exceptions import RedisError

from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.patience import patiently
from imc_command_api.projector.reader import Delivery
from imc_command_api.projector.writer import BatchWriter, Readable, Unreadable

log = logger("projector.quarantine")

TRIES = 5
PAUSE_SECONDS = 0.2
_REFUSED = "refused by the database"


@dataclass(frozen=True, slots=True)
class _Suspect:
    entry: Readable | Unreadable
    tries: int
    due: float


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

    def add(self, entry: Readable | Unreadable) -> None:
        """Take an entry in; one that can't be read is put aside without further tries."""
        tries, due = (TRIES, 0.0) if isinstance(entry, Unreadable) else (1, time.monotonic() + PAUSE_SECONDS)
        self._append(_Suspect(entry, tries, due))

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
                    log.error("an entry is left for later", exc_info=error)
                    self._release(suspect.entry.delivery)

    async def _try(self, suspect: _Suspect) -> None:
        entry = suspect.entry
        if isinstance(entry, Unreadable):
            await self._put_aside(entry.delivery, entry.reason)
        elif not await self._writer.write([entry]):
            self._release(entry.delivery)
        elif suspect.tries + 1 >= TRIES:
            await self._put_aside(entry.delivery, _REFUSED)
        else:
            self._append(replace(suspect, tries=suspect.tries + 1, due=time.monotonic() + PAUSE_SECONDS))

    def _append(self, suspect: _Suspect) -> None:
        self._suspects.append(suspect)
        self._arrival.set()

    async def _put_aside(self, delivery: Delivery, reason: str) -> None:
        moved = await patiently(
            lambda: self._group.put_aside(delivery.app_id, delivery.entry_id, reason),
            (RedisError, OSError),
            self._metrics.retries.inc,
        )
        if moved:
            self._metrics.dead_letters.inc()
            log.error("an entry was put aside", reason=reason)
        self._release(delivery)
