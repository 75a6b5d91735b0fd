"""The only writer of the logs.

While one batch of an app is on its way to Redis, the events that arrive form the next one. So batches grow
with the load, and no event waits for a batch to fill.
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

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 1_000_000
"""A batch is published as one message. Redis disconnects subscribers whose buffer exceeds 32 MB."""

MAX_IN_FLIGHT = 32
"""Batches on their way at once, each of another app. The pool has more connections than this."""

BACKLOG_RETRY_SECONDS = 5


UNKNOWN_END = (
    "the log did not answer, so that it is not known whether this was accepted: "
    "it is safe to repeat it with its clientMessageId"
)


class NotAnnounced(Exception):
    """The app could not be added to the list of apps. Nothing was appended."""


@dataclass(slots=True)
class _Waiting:
    """The writes of one caller, ``size`` bytes in all, and the future of their outcomes."""

    writes: Sequence[Write]
    size: int
    outcomes: asyncio.Future[list[Outcome | Refused]]


class LogWriter:
    """Appends events to the logs of apps. Implements `ports.Log`. Create it inside its event loop."""

    def __init__(self, apps: AppList, script: AppendScript, metrics: LogMetrics) -> None:
        self._apps = apps
        self._script = script
        self._metrics = metrics
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._flushes: set[asyncio.Task[None]] = set()
        self._in_flight = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._loop = asyncio.get_running_loop()  # asking for it each time costs a system call

    async def append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        """Append ``writes`` in their order; an outcome, or a refusal, for each.

        A long list is appended in several batches, so a part can be refused after another was appended. A
        refusal after a lost connection does not tell whether its event was appended.
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
        """Wait for the batches on their way."""
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
        """Append the app's batches one after the other, which keeps their order, until none is left."""
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
        # Projectors must know the app before any of its events is acknowledged.
        if app_id not in self._apps:
            try:
                # Recalls and deletions are never refused for a quota: their app had an entry before.
                await self._apps.add(app_id, is_limited=not any(write.is_retiring for write in writes))
            except (RedisError, OSError) as error:
                raise NotAnnounced(app_id) from error
        with self._metrics.append_seconds.time():
            result = await self._script.run(app_id, writes)
        if result.is_new_log:
            # Redis was emptied, or the app was forgotten: then the list of apps lacks it too.
            await self._apps.add_again(app_id)
        self._metrics.batches.inc()
        self._metrics.writes.inc(len(writes))
        return result.outcomes


def _split(writes: Sequence[Write]) -> list[tuple[Sequence[Write], int]]:
    """Split ``writes`` into parts within the bounds of a batch, each with its size in bytes."""
    parts: list[tuple[Sequence[Write], int]] = []
    begin = size = 0
    for at, write in enumerate(writes):
        length = len(write.event.body)
        if at > begin and (at - begin >= MAX_BATCH_EVENTS or size + length > MAX_BATCH_BYTES):
            parts.append((writes[begin:at], size))
            begin, size = at, 0
        size += length
    parts.append((writes[begin:], size))
    return parts


def _next_batch(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take what fits into one batch from the queue, at least one."""
    batch = [queue.popleft()]
    count, size = len(batch[0].writes), batch[0].size
    while queue:
        count += len(queue[0].writes)
        size += queue[0].size
        if count > MAX_BATCH_EVENTS or size > MAX_BATCH_BYTES:
            break
        batch.append(queue.popleft())
    return batch


def _distribute(batch: list[_Waiting], outcomes: list[Outcome | Refused]) -> None:
    begin = 0
    for waiting in batch:
        end = begin + len(waiting.writes)
        # The caller may be gone. Its events are in the log all the same.
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
