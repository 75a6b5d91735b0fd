"""Forwards what gateways send to command-api, and gives them the answers.

Each app has a queue with one batch under way. What arrives meanwhile goes together in the next batch, so that
a gateway's sends keep their order. The bytes that wait are bounded: a gateway over the limit is not read.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from itertools import islice, repeat
from typing import NamedTuple

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.fields import MAX_BATCH
from imc_contracts.views import SendReceipt
from imc_service.retry import Backoff
from imc_service.tracing.tracing import Span, Tracing
from opentelemetry.trace import SpanKind

from imc_push_node.forwarding.command_api import (
    CommandApiClient,
    NothingAccepted,
    Outcomes,
    UnknownEnd,
)
from imc_push_node.forwarding.incoming_frames import Send
from imc_push_node.gateway import frames
from imc_push_node.gateway.changed_gateways import ChangedGateways
from imc_push_node.gateway.frames import Refusal
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics

BATCH_BYTES = 1_048_576
"""The largest batch, by the average size of the sends of a wake-up. With one more send that is as large as a
frame may be, it still fits into a body of command-api."""

SEND_BYTES = 640
"""The memory that a waiting send takes beside its text: 15 times as much as the shortest text."""

BACKOFF = Backoff(longest=1.0)
"""Between attempts to forward a batch. The loop is ours: a library's costs each batch some 0.1 ms."""

NOT_ACCEPTED = "not accepted: the log is out of reach; try again"
UNKNOWN_END = "it is unknown whether this was accepted; repeating it is safe with its clientMessageId only"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many bytes may wait, and for how many seconds a send is tried."""

    gateway_bytes: int
    node_bytes: int
    seconds: float


class _Waiting(NamedTuple):
    """The sends that a gateway wrote in one wake-up, or those of them that are left."""

    gateway: Gateway
    sends: list[Send]
    send_bytes: int
    """The average size of a send."""
    since: float
    span: Span | None

    @property
    def size(self) -> int:
        return self.send_bytes * len(self.sends)


class Forwarder:
    """The queues of all apps of a node."""

    def __init__(
        self,
        client: CommandApiClient,
        metrics: NodeMetrics,
        limits: Limits,
        changed: ChangedGateways,
        tracing: Tracing | None = None,
    ) -> None:
        self._tracing = tracing
        self._client = client
        self._changed = changed
        self._metrics = metrics
        self._limits = limits
        self._queues: dict[str, deque[_Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting_bytes = 0
        self._paused: set[Gateway] = set()
        """The gateways that are not read until less waits."""

    def submit(self, gateway: Gateway, sends: list[Send], size: int) -> None:
        """Forward the sends of a wake-up, ``size`` bytes in all, after those that came before."""
        queue = self._queues.setdefault(gateway.app_id, deque())
        now = asyncio.get_running_loop().time()
        span = None
        if self._tracing is not None:
            attributes = {"imc.app_id": gateway.app_id, "messaging.batch.message_count": len(sends)}
            span = self._tracing.begin_some("frame", SpanKind.SERVER, attributes)
        waiting = _Waiting(gateway, sends, size // len(sends) + SEND_BYTES, now, span)
        queue.append(waiting)
        gateway.submitted(waiting.size)
        self._waiting_bytes += waiting.size
        if self._is_over(gateway):
            self._paused.add(gateway)
            gateway.pause(PauseReason.FORWARDS)
        if gateway.app_id not in self._tasks:
            self._tasks[gateway.app_id] = asyncio.create_task(self._work(gateway.app_id, queue))

    async def settled(self) -> None:
        """Wait until nothing waits."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def close(self) -> None:
        """Give up what waits."""
        for task in self._tasks.values():
            task.cancel()

    def _is_over(self, gateway: Gateway) -> bool:
        limits = self._limits
        return gateway.waiting_bytes > limits.gateway_bytes or self._waiting_bytes > limits.node_bytes

    async def _work(self, app_id: str, queue: deque[_Waiting]) -> None:
        try:
            while queue:
                await self._forward(_next_batch(queue))
        finally:
            del self._queues[app_id], self._tasks[app_id]

    async def _forward(self, batch: list[_Waiting]) -> None:
        """Send a batch until each send of it has an answer, or its time is up."""
        loop = asyncio.get_running_loop()
        deadline = batch[0].since + self._limits.seconds
        failures, is_end_known = 0, True
        retry_after = None
        while batch:
            self._metrics.forwards.inc()
            try:
                outcomes = await self._send(batch)
            except NothingAccepted as refused:
                retry_after = refused.retry_after
            except UnknownEnd:
                is_end_known = False
                # A send without a clientMessageId can't be repeated: it could become two messages.
                self._refuse(_having_own_ids(batch, wanted=False), _verdict(is_end_known, retry_after))
                batch = _having_own_ids(batch, wanted=True)
            except Refused as refused:
                self._refuse(batch, refused)
                return
            else:
                self._answer(batch, outcomes)
                return
            self._metrics.forward_failures.inc()
            pause = BACKOFF.after(failures := failures + 1)
            if loop.time() + pause > deadline:
                self._refuse(batch, _verdict(is_end_known, retry_after))
                return
            await asyncio.sleep(pause)

    async def _send(self, batch: list[_Waiting]) -> Outcomes:
        """Send a batch once. What is traced goes on in the trace of the first, which links to the others."""
        messages = [send.message for waiting in batch for send in waiting.sends]
        traces = [waiting.span.context for waiting in batch if waiting.span is not None]
        if self._tracing is None or not traces:
            return await self._client.send(messages)
        span = self._tracing.begin("forward", SpanKind.CLIENT, traces[0], traces[1:])
        has_failed = True
        try:
            outcomes = await self._client.send(messages, span.context)
            has_failed = False
        finally:
            span.end({"messaging.batch.message_count": len(messages)}, has_failed=has_failed)
        return outcomes

    def _refuse(self, batch: list[_Waiting], refused: Refused) -> None:
        self._finish(batch, [refused] * sum(len(waiting.sends) for waiting in batch))

    def _answer(self, batch: list[_Waiting], outcomes: Outcomes) -> None:
        self._metrics.forwarded.inc(len(outcomes))
        self._finish(batch, outcomes)

    def _finish(self, batch: list[_Waiting], outcomes: Outcomes) -> None:
        """Write each gateway its answers, and read on those of which less waits now."""
        answers: dict[Gateway, list[bytes]] = defaultdict(list)
        sizes: dict[Gateway, int] = defaultdict(int)
        remaining = iter(outcomes)
        for waiting in batch:
            gateway = waiting.gateway
            answered = list(islice(remaining, len(waiting.sends)))
            refused = sum(isinstance(outcome, Refused) for outcome in answered)
            self._metrics.frames_refused.inc(refused)
            gateway.count_sends(accepted=len(answered) - refused, refused=refused)
            self._changed.note(gateway)
            if waiting.span is not None:
                waiting.span.end({"imc.refused": refused})
            answers[gateway] += map(_answer_to, repeat(gateway), waiting.sends, answered)
            sizes[gateway] += waiting.size
        for gateway, frames_of_it in answers.items():
            if any(frames_of_it):
                gateway.socket.write(b"".join(frames_of_it))
        for gateway, size in sizes.items():
            self._waiting_bytes -= size
            gateway.answered(size)
        for gateway in [gateway for gateway in self._paused if not self._is_over(gateway)]:
            self._paused.discard(gateway)
            gateway.resume(PauseReason.FORWARDS)


def _next_batch(queue: deque[_Waiting]) -> list[_Waiting]:
    """Take from the queue as much as fits into one batch, and at least one send."""
    batch: list[_Waiting] = []
    count, size = MAX_BATCH, BATCH_BYTES
    while queue:
        waiting = queue[0]
        room = min(count, max(size // waiting.send_bytes, 0 if batch else 1))
        if room < len(waiting.sends):
            if room:
                batch.append(waiting._replace(sends=waiting.sends[:room]))
                queue[0] = waiting._replace(sends=waiting.sends[room:])
            break
        batch.append(queue.popleft())
        count -= len(waiting.sends)
        size -= waiting.size
    return batch


def _having_own_ids(batch: list[_Waiting], *, wanted: bool) -> list[_Waiting]:
    """The sends of a batch that have a clientMessageId, or if ``wanted`` is False those that have none."""
    chosen = [
        waiting._replace(
            sends=[send for send in waiting.sends if bool(send.message.client_message_id) is wanted]
        )
        for waiting in batch
    ]
    return [waiting for waiting in chosen if waiting.sends]


def _verdict(is_end_known: bool, retry_after: int | None) -> Refused:
    """The refusal of sends that are not tried any more."""
    if is_end_known:
        return Refused(ErrorCode.UNAVAILABLE, NOT_ACCEPTED, retry_after=retry_after)
    return Refused(ErrorCode.INTERNAL, UNKNOWN_END)


def _answer_to(gateway: Gateway, send: Send, outcome: SendReceipt | Refused) -> bytes:
    """The frame that answers ``send``; empty if it was accepted, and nothing acknowledges it."""
    own_id = send.message.client_message_id
    if isinstance(outcome, Refused):
        refusal = Refusal(outcome.code, outcome.message, own_id, send.list_index, outcome.retry_after)
        return frames.frame_refused(gateway.format, refusal)
    if own_id is None or gateway.format is PushFormat.JAVA:
        return b""
    return frames.send_acknowledged(
        own_id, outcome["messageId"], outcome["createTime"], duplicate=outcome["duplicate"]
    )
