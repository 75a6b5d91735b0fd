"""The only writer of the log.

While one batch of an app is on its way to Redis, what arrives meanwhile becomes the next: batches grow with
the load by themselves, and nobody ever waits for one to fill.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, unavailable
from imc_service.logs import get_logger
from imc_service.redis.errors import was_not_run, words_of
from redis.exceptions import RedisError

from imc_command_api.handlers.ports import Outcome, Write
from imc_command_api.log.apps import AppList
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.script import AppendScript, BacklogFull

logger = get_logger("log")

MAX_BATCH = 500
MAX_BATCH_BYTES = 1_000_000
"""A batch is published as one message: far below what Redis lets a subscriber's buffer hold (32 MB)."""

MAX_IN_FLIGHT = 32
"""Batches on their way at once, each of another app: fewer than the pool has connections."""

BACKLOG_RETRY_SECONDS = 5


UNKNOWN_END = (
    "the log did not answer, so that it is not known whether this was accepted: "
    "it is safe to repeat it with its clientMessageId"
)


class NotAnnounced(Exception):
    """The app could not be made known to projectors, so that nothing of it was appended."""


@dataclass(slots=True)
class _Waiting:
    """Writes that one caller waits for, ``size`` bytes in all."""

    writes: Sequence[Write]
    size: int
    outcomes: asyncio.Future[list[Outcome | Refused]]


class LogWriter:
    """Appends events to the logs of apps. To be made where its event loop runs."""

    def __init__(self, apps: AppList, script: AppendScript, metrics: LogMetrics) -> None:
        self._apps = apps
        self._script = script
        self._metrics = metrics
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._loop = asyncio.get_running_loop()  # which is a call of the kernel each time it is asked for

    async def append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        """Append ``writes`` in their order; an outcome, or a refusal, for each.

        Large lists go in several batches, so that one part can be refused after another was taken. A
        refusal after a lost connection does not say whether the event was appended.
        """
        parts = _split(writes)
        waiting = [self._enqueue(app_id, part, size) for part, size in parts]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        answers: list[Outcome | Refused] = []
        for (part, _), result in zip(parts, results, strict=True):
            if isinstance(result, Refused):
                answers += [result] * len(part)
            elif isinstance(result, BaseException):
                raise result
            else:
                answers += result
        return answers

    async def append_one(self, app_id: str, write: Write) -> Outcome:
        """Append one event; raises `Refused` if that can't be done."""
        (answer,) = await self._enqueue(app_id, [write], len(write.event.body))
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._flushes)

    def _enqueue(
        self, app_id: str, writes: Sequence[Write], size: int
    ) -> asyncio.Future[list[Outcome | Refused]]:
        waiting = _Waiting(writes, size, self._loop.create_future())
        queue = self._waiting.get(app_id)
        if queue is not None:
            queue.append(waiting)
            return waiting.outcomes
        self._waiting[app_id] = deque([waiting])
        flush = self._loop.create_task(self._flush(app_id))
        self._flushes.add(flush)
        flush.add_done_callback(self._flushes.discard)
        return waiting.outcomes

    async def _flush(self, app_id: str) -> None:
        """Append batch after batch until nothing of the app waits: one at a time, which keeps their order."""
        queue = self._waiting[app_id]
        while queue:
            batch = _next_batch(queue)
            writes = [write for waiting in batch for write in waiting.writes]
            try:
                async with self._in_flight:
                    outcomes = await self._append(app_id, writes)
            except Exception as error:
                refused = _refusal_of(error)
                for waiting in batch:
                    if not waiting.outcomes.done():
                        waiting.outcomes.set_exception(refused)
            else:
                _distribute(batch, outcomes)
        del self._waiting[app_id]

    async def _append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        # Projectors must know of the app before anything of it is acknowledged.
        if app_id not in self._apps:
            try:
                # What takes something back is never refused for a quota; its app had an entry before.
                await self._apps.add(app_id, is_limited=not any(write.is_retiring for write in writes))
            except (RedisError, OSError) as error:
                raise NotAnnounced(app_id) from error
        with self._metrics.append_seconds.time():
            result = await self._script.run(app_id, writes)
        if result.is_new_log:
            # The log may be new because Redis was emptied, or the app forgotten: so was the announcement.
            await self._apps.add_again(app_id)
        self._metrics.batches.inc()
        self._metrics.writes.inc(len(writes))
        return result.outcomes


def _split(writes: Sequence[Write]) -> list[tuple[Sequence[Write], int]]:
    """Cut ``writes`` into parts that each keep the bounds of a batch; each with its size in bytes."""
    parts: list[tuple[Sequence[Write], int]] = []
    begin = size = 0
    for at, write in enumerate(writes):
        length = len(write.event.body)
        if at > begin and (at - begin >= MAX_BATCH or size + length > MAX_BATCH_BYTES):
            parts.append((writes[begin:at], size))
            begin, size = at, 0
        size += length
    parts.append((writes[begin:], size))
    return parts


def _next_batch(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take from the queue what fits into one batch: always at least one."""
    batch = [queue.popleft()]
    count, size = len(batch[0].writes), batch[0].size
    while queue:
        count += len(queue[0].writes)
        size += queue[0].size
        if count > MAX_BATCH or size > MAX_BATCH_BYTES:
            break
        batch.append(queue.popleft())
    return batch


def _distribute(batch: list[_Waiting], outcomes: list[Outcome | Refused]) -> None:
    begin = 0
    for waiting in batch:
        end = begin + len(waiting.writes)
        # Whoever waited may be gone: what it wrote is in the log all the same.
        if not waiting.outcomes.done():
            waiting.outcomes.set_result(outcomes[begin:end])
        begin = end


def _refusal_of(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, BacklogFull):
        return unavailable("too much of this app waits to be stored", BACKLOG_RETRY_SECONDS)
    if isinstance(error, NotAnnounced) or was_not_run(error):
        logger.warning("nothing appended", error=words_of(error.__cause__ or error))
        return unavailable("the log is out of reach")
    logger.error("append without an answer", error=words_of(error), exc_info=error)
    return Refused(ErrorCode.INTERNAL, UNKNOWN_END)
