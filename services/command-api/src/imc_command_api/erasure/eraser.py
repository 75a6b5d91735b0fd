"""Carries out the erasures of some shards, one small step after the other.

Each step may be done twice, or by two processes at once. What is done is noted in the erasure's row, so that
whoever owns the shard next goes on, whatever was killed when.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from imc_contracts import names
from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import code_of, words_of
from redis.exceptions import RedisError

from imc_command_api.erasure.metrics import ErasureMetrics
from imc_command_api.erasure.streams import StreamEraser
from imc_command_api.store.erasures import Erasure, Erasures, Stage

logger = get_logger("erasure")

SLICE_SECONDS = 1.0
"""So long one erasure is worked on before the next one has its turn."""

REMAINS_SECONDS = 5.0
"""How long a recall may be under way that has found its message before that was erased."""

_NO_LETTER = b"0-0"


@dataclass(slots=True)
class _Progress:
    """How far this process is within a stage. If it is lost, the stage begins anew."""

    stage: Stage
    message_place: int = 0
    notice_place: int | None = None
    """None while messages are looked for."""

    letter: bytes | None = _NO_LETTER
    """The last dead letter that was looked at; None once all were."""

    log_entries: int = 0
    since: float = field(default_factory=time.monotonic)


class Eraser:
    """Works on the erasures of the shards that it is told."""

    def __init__(self, erasures: Erasures, streams: StreamEraser, metrics: ErasureMetrics) -> None:
        self._erasures = erasures
        self._streams = streams
        self._metrics = metrics
        self._progress: dict[tuple[str, int], _Progress] = {}
        self._outage = Outage(logger.warning, "erasing")

    async def work(self, shards: Collection[int]) -> bool:
        """Work on each erasure for a while; returns whether one of them could be worked on.

        Faults are told, and left for the next call. One erasure that fails does not keep the others waiting.
        """
        fault: Exception | None = None
        worked = False
        try:
            for erasure in await self._unfinished(shards):
                try:
                    await self._work_on(erasure)
                    worked = True
                except (RedisError, OSError, StatementRefused) as error:
                    fault = error
        except (StoreUnavailable, StatementRefused) as error:
            fault = error
        if fault is None:
            self._outage.is_over()
        else:
            self._outage.goes_on(words_of(fault) if isinstance(fault, RedisError) else str(fault))
        return worked

    async def _unfinished(self, shards: Collection[int]) -> list[Erasure]:
        found = [each for each in await self._erasures.unfinished() if names.shard_of(each.app_id) in shards]
        keys = {(each.app_id, each.erasure_id) for each in found}
        self._progress = {key: progress for key, progress in self._progress.items() if key in keys}
        return found

    async def _work_on(self, erasure: Erasure) -> None:
        key = erasure.app_id, erasure.erasure_id
        progress = self._progress.get(key)
        if progress is None or progress.stage < erasure.stage:
            progress = self._progress[key] = _Progress(erasure.stage)
        end = time.monotonic() + SLICE_SECONDS
        while progress.stage is not Stage.DONE:
            begun = time.monotonic()
            if await self._step(erasure, progress):
                stage = Stage(progress.stage + 1)
                await self._erasures.reach(erasure, stage, time.time_ns() // 1_000_000)
                progress = self._progress[key] = _Progress(stage)
            elif progress.stage is Stage.REMAINS and progress.message_place == 0:
                return  # nothing to do yet
            # Others use Redis and the database at least as long.
            await asyncio.sleep(time.monotonic() - begun)
            if time.monotonic() >= end:
                break
        if progress.stage is Stage.DONE:
            self._metrics.done.inc()
            logger.info("an erasure is done")

    async def _step(self, erasure: Erasure, progress: _Progress) -> bool:
        """Do one step of a stage; returns whether it was the last one."""
        match progress.stage:
            case Stage.ROWS:
                return await self._step_rows(erasure, progress)
            case Stage.LOG:
                return await self._step_log(erasure, progress)
            case Stage.DEAD_LETTERS:
                return await self._step_dead_letters(erasure, progress)
            case _:
                is_time = time.monotonic() - progress.since >= REMAINS_SECONDS
                if not is_time or not await self._step_rows(erasure, progress):
                    return False
                # Two owners at once may have begun a copy once more after the log was replaced.
                await self._streams.give_up_copies(erasure)
                return True

    async def _step_rows(self, erasure: Erasure, progress: _Progress) -> bool:
        if progress.notice_place is None:
            found = await self._erasures.messages(erasure, progress.message_place)
            if found:
                await self._streams.forget_causes(erasure.app_id, found)
                await self._erasures.remove(erasure, message_ids=[each.message_id for each in found])
                self._metrics.rows.inc(len(found))
                progress.message_place = found[-1].place
                return False
            progress.notice_place = 0
        notices = await self._erasures.notices(erasure, progress.notice_place)
        if notices:
            await self._erasures.remove(erasure, information_ids=notices)
            self._metrics.rows.inc(len(notices))
            progress.notice_place = notices[-1]
        return not notices

    async def _step_log(self, erasure: Erasure, progress: _Progress) -> bool:
        try:
            erased, is_done = await self._streams.step_log(erasure)
        except RedisError as error:
            await self._free_memory(erasure, error)
            raise
        progress.log_entries += erased
        self._metrics.entries.inc(erased)
        if is_done:
            await self._erasures.note(erasure, log_entries=progress.log_entries)
        return is_done

    async def _step_dead_letters(self, erasure: Erasure, progress: _Progress) -> bool:
        if progress.letter is not None:
            deleted, progress.letter = await self._streams.step_dead_letters(erasure, progress.letter)
            if deleted:
                self._metrics.letters.inc(deleted)
                await self._erasures.note(erasure, dead_letters=deleted)
            if progress.letter is not None:
                return False
        try:
            return await self._streams.step_compaction(erasure)
        except RedisError as error:
            await self._free_memory(erasure, error)
            raise

    async def _free_memory(self, erasure: Erasure, error: RedisError) -> None:
        if code_of(error) == "OOM":
            await self._streams.give_up_copies(erasure)
