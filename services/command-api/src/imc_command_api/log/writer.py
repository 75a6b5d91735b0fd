"""The only writer of the logs.

While one batch of an app is on its way to Redis, the events that arrive form the next one. So batches grow
with the load, and no event waits for a batch to fill.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, unavailable
from imc_service.activity import Activity
from imc_service.current_call import CURRENT, Scope, id_of, known_id, trace_of
from imc_service.logs import get_logger
from imc_service.redis.errors import was_not_run, words_of
from imc_service.tracing.tracing import Span, Tracing
from opentelemetry.trace import SpanKind
from redis.exceptions import RedisError

from imc_command_api.handlers.ports import RETIRING, Outcome, Write
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.new_apps import NewApps
from imc_command_api.log.script import AppendScript, BacklogFull, LogAtItsEnd, NewApp

logger = get_logger("log")

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 1_000_000
"""A batch is published as one message. Redis disconnects subscribers whose buffer exceeds 32 MB."""

MOST_IDS_TRACED = 10
"""The most messages of one call that its span names."""

MAX_IN_FLIGHT = 32
"""Batches on their way at once, each of another app. The pool has more connections than this."""

BACKLOG_RETRY_SECONDS = 5


UNKNOWN_END = (
    "the log did not answer, so that it is not known whether this was accepted: "
    "it is safe to repeat it with its clientMessageId"
)


class QuotaOutOfReach(Exception):
    """The quota of new apps could not be asked. Nothing was appended."""


@dataclass(slots=True)
class _Waiting:
    """The writes of one caller, of ``size`` bytes; ``sends`` of them are sends."""

    writes: Sequence[Write]
    size: int
    sends: int
    since: float
    outcomes: asyncio.Future[list[Outcome | Refused]]
    call: Scope | None
    """The call that they belong to."""


class LogWriter:
    """Appends events to the logs of apps. Implements `ports.Log`. Create it inside its event loop."""

    def __init__(
        self,
        new_apps: NewApps,
        script: AppendScript,
        metrics: LogMetrics,
        activity: Activity,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._spans: dict[asyncio.Future[list[Outcome | Refused]], Span] = {}
        """The spans of those that wait and are traced."""
        self._activity = activity
        self._new_apps = new_apps
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
        # A recall, a deletion or an erasure comes alone.
        sends = 0 if writes[0].event.kind in RETIRING else len(writes)
        waiting = _Waiting(writes, size, sends, self._loop.time(), self._loop.create_future(), CURRENT.get())
        if self._tracing is not None and (trace := trace_of(waiting.call)) is not None:
            self._begin_span(self._tracing, trace, app_id, waiting)
        queue = self._waiting.get(app_id)
        if queue is not None:
            queue.append(waiting)
            return waiting.outcomes
        self._waiting[app_id] = deque([waiting])
        # In a context of its own: it works for later calls too.
        flush = self._loop.create_task(self._flush(app_id), context=Context())
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
                refused = _refusal_of(error, batch)
                self._activity.refused(app_id, sum(waiting.sends for waiting in batch))
                for waiting in batch:
                    if not waiting.outcomes.done():
                        waiting.outcomes.set_exception(refused)
                self._end_spans(batch, len(writes), have_failed=True)
            else:
                _distribute(batch, outcomes)
                self._count(app_id, batch, outcomes)
                self._end_spans(batch, len(writes))
        del self._waiting[app_id]

    def _begin_span(self, tracing: Tracing, trace: str, app_id: str, waiting: _Waiting) -> None:
        writes, request_id = waiting.writes, None if waiting.call is None else known_id(waiting.call)
        ids = [str(write.id) for write in writes[:MOST_IDS_TRACED]]
        attributes: dict[str, str | list[str]] = {"imc.app_id": app_id, "imc.message_id": ids}
        if request_id is not None:
            attributes["imc.request_id"] = request_id
        span = tracing.begin("append", SpanKind.PRODUCER, trace, attributes=attributes)
        self._spans[waiting.outcomes] = span
        # One entry stands for all that the call appends here: together they are pushed, and stored.
        waiting.writes = [writes[0]._replace(trace=span.context), *writes[1:]]

    def _end_spans(self, batch: list[_Waiting], size: int, *, have_failed: bool = False) -> None:
        if self._spans:
            for waiting in batch:
                if (span := self._spans.pop(waiting.outcomes, None)) is not None:
                    span.end({"messaging.batch.message_count": size}, has_failed=have_failed)

    def _count(self, app_id: str, batch: list[_Waiting], outcomes: list[Outcome | Refused]) -> None:
        now = self._loop.time()
        self._activity.took([(now - waiting.since, waiting.sends) for waiting in batch])
        refused = [*map(type, outcomes)].count(Refused)
        self._activity.refused(app_id, refused)
        self._activity.sent(app_id, sum([waiting.sends for waiting in batch]) - refused)

    async def _append(self, app_id: str, writes: Sequence[Write]) -> list[Outcome | Refused]:
        # Recalls and deletions are never refused for a quota: their app had an entry before.
        may_begin = self._new_apps.may_begin(app_id) or any(write.is_retiring for write in writes)
        with self._metrics.append_seconds.time():
            try:
                outcomes = await self._script.run(app_id, writes, may_begin=may_begin)
            except NewApp:
                await self._take_new_app()
                outcomes = await self._script.run(app_id, writes)
        self._new_apps.has_log(app_id)
        self._metrics.batches.inc()
        self._metrics.writes.inc(len(writes))
        return outcomes

    async def _take_new_app(self) -> None:
        try:
            await self._new_apps.take()
        except (RedisError, OSError) as error:
            raise QuotaOutOfReach from error


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


def _refusal_of(error: Exception, batch: list[_Waiting]) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, BacklogFull):
        return unavailable("too much of this app waits to be stored", BACKLOG_RETRY_SECONDS)
    if isinstance(error, LogAtItsEnd):
        logger.error(
            "the log of an app has an id that is too large to be stored: delete the entry with XDEL,"
            " and lower the last id with XSETID",
            appId=str(error),
        )
        return unavailable("the log of this app has an entry that IMC did not make", BACKLOG_RETRY_SECONDS)
    if isinstance(error, QuotaOutOfReach) or was_not_run(error):
        words = words_of(error.__cause__ or error)
        logger.warning("nothing appended", error=words, requestIds=_request_ids(batch))
        return unavailable("the log is out of reach")
    ids = _request_ids(batch)
    logger.error("append without an answer", error=words_of(error), requestIds=ids, exc_info=error)
    return Refused(ErrorCode.INTERNAL, UNKNOWN_END)


def _request_ids(batch: list[_Waiting]) -> list[str]:
    """The ids of the calls of a batch. A reply may name any of them."""
    return [id_of(waiting.call) for waiting in batch if waiting.call is not None]
