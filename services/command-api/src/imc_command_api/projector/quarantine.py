"""Apps that have entries which the database refuses. These are retried alone, then dead-lettered.

Other apps do not wait for them. The app's position stays meanwhile: if this process dies, another one starts
over.
"""

import asyncio
from collections.abc import Coroutine, Sequence

from imc_service import background
from imc_service.logs import get_logger
from imc_service.redis.errors import words_of
from redis.exceptions import RedisError

from imc_command_api.projector.logs import FailedEntry, Logs, ProjectedStretch
from imc_command_api.projector.metrics import MALFORMED, ProjectorMetrics
from imc_command_api.projector.stretch import Stretch
from imc_command_api.projector.writer import RefusedEntry, StretchWriter

logger = get_logger("projector.quarantine")

TRIES = 5
PAUSE_SECONDS = 0.2

REST_SECONDS = 10.0
"""How long an app is not read after something unexpected failed with it."""

MOST_APPS = 100
"""Apps at once: memory stays bounded. Others that are refused meanwhile wait, and are read again."""

TURNS = 2
"""Apps whose entries are tried at the same time, so that the others keep most connections to the database."""


class Quarantine:
    """The apps of one master that wait for the end of their tries."""

    def __init__(self, logs: Logs, writer: StretchWriter, metrics: ProjectorMetrics) -> None:
        self._logs = logs
        self._writer = writer
        self._metrics = metrics
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(TURNS)

    def __contains__(self, app_id: str) -> bool:
        """Whether the app is here, so that its log is not to be read."""
        return app_id in self._tasks

    def add(self, stretch: Stretch, refused: Sequence[RefusedEntry]) -> None:
        """Take an app with the entries that were refused alone. All others of ``stretch`` are written."""
        over = len(self._tasks) >= MOST_APPS
        work = asyncio.sleep(TRIES * PAUSE_SECONDS) if over else self._keep(stretch, refused)
        self._begin(stretch.app_id, work)

    def rest(self, app_id: str) -> None:
        """Keep an app from being read for `REST_SECONDS`."""
        self._begin(app_id, asyncio.sleep(REST_SECONDS))

    async def end(self) -> None:
        """Give up what is here. It is read again by the next owner of its shards."""
        await background.end(self._tasks.values())

    def _begin(self, app_id: str, work: Coroutine[None, None, None]) -> None:
        task = self._tasks[app_id] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(app_id, None))

    async def _keep(self, stretch: Stretch, refused: Sequence[RefusedEntry]) -> None:
        try:
            await self._try(stretch, refused)
        except (RedisError, OSError) as error:
            logger.debug("an app is left for later", error=words_of(error))
        except Exception as error:
            logger.error("an app is left for later", exc_info=error)

    async def _try(self, stretch: Stretch, refused: Sequence[RefusedEntry]) -> None:
        for _ in range(TRIES - 1):
            await asyncio.sleep(PAUSE_SECONDS)
            async with self._turns:
                tried = [await self._writer.write_alone(each) for each in refused]
            if not (refused := [each for each in tried if each is not None]):
                break
        letters = letters_of(stretch) + [
            FailedEntry(each.entry.id, each.refusal.kind.value, str(each.refusal)) for each in refused
        ]
        if (await self._logs.advance([ProjectedStretch(stretch, letters)]))[0]:
            count_letters(letters, self._metrics)
            await self._writer.note_positions([stretch])


def letters_of(stretch: Stretch) -> list[FailedEntry]:
    """The dead letters of entries that are no events: no try can help."""
    return [
        FailedEntry(entry.id, MALFORMED, entry.fault)
        for entry in stretch.entries
        if entry.row is None and entry.fault
    ]


def count_letters(letters: Sequence[FailedEntry], metrics: ProjectorMetrics) -> None:
    """Tell of entries that were dead-lettered."""
    for letter in letters:
        metrics.dead_letters.labels(letter.kind).inc()
        logger.error("an entry was dead-lettered", kind=letter.kind, reason=letter.reason)
