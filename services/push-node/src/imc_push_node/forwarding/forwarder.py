"""What gateways write, on its way to command-api.

Each app has a lane of its own with one batch under way: what comes meanwhile waits and goes together, and a
gateway's sends keep their order. What waits is bounded in bytes, by not reading the gateways that sent it.
"""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import NamedTuple

from imc_contracts.commands import SendMessage
from imc_contracts.fields import MAX_BATCH
from imc_contracts.views import SendReceipt
from imc_service.retry import Backoff

from imc_push_node.forwarding.command_api import (
    CommandApiClient,
    NothingAccepted,
    Receipts,
    Refused,
    UnknownEnd,
)
from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.metrics import NodeMetrics

BATCH_BYTES = 1_048_576
"""A batch is no larger, by the average size of a wake-up's sends. With one that is as large as a frame may be
it still fits into a body of command-api."""

SEND_BYTES = 640
"""What a send that waits takes beside its text: of the least ones, 15 times as much as that."""

BACKOFF = Backoff(longest=1.0)
"""Between attempts to forward a batch. The loop is ours: a library's costs each batch some 0.1 ms."""

NOT_ACCEPTED = "not accepted: the log is out of reach; try again"
UNKNOWN_END = "it is unknown whether this was accepted; repeating it is safe with its clientMessageId only"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, in bytes, and how long a send is tried, in seconds."""

    gateway_bytes: int
    node_bytes: int
    seconds: float


class _Waiting(NamedTuple):
    """What came of a gateway in one wake-up, or the part of it that is left."""

    gateway: Gateway
    sends: list[SendMessage]
    send_bytes: int
    """Size of each of them."""
    since: float

    @property
    def size(self) -> int:
        return self.send_bytes * len(self.sends)


class Forwarder:
    """Forwards sends and gives their answers."""

    def __init__(self, client: CommandApiClient, metrics: NodeMetrics, limits: Limits) -> None:
        self._client = client
        self._metrics = metrics
        self._limits = limits
        self._lanes: dict[str, deque[_Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting_bytes = 0
        self._held: set[Gateway] = set()

    def submit(self, gateway: Gateway, sends: list[SendMessage], size: int) -> None:
        """Forward the sends of a wake-up, ``size`` bytes in all, after those that came before."""
        lane = self._lanes.setdefault(gateway.app_id, deque())
        now = asyncio.get_running_loop().time()
        send_bytes = size // len(sends) + SEND_BYTES
        lane.append(_Waiting(gateway, sends, send_bytes, now))
        gateway.waiting_bytes += send_bytes * len(sends)
        self._waiting_bytes += send_bytes * len(sends)
        if self._is_over(gateway):
            self._held.add(gateway)
            gateway.pause(PauseReason.FORWARDS)
        if gateway.app_id not in self._tasks:
            self._tasks[gateway.app_id] = asyncio.create_task(self._work(gateway.app_id, lane))

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

    async def _work(self, app_id: str, lane: deque[_Waiting]) -> None:
        try:
            while lane:
                await self._forward(_next_batch(lane))
        finally:
            del self._lanes[app_id], self._tasks[app_id]

    async def _forward(self, batch: list[_Waiting]) -> None:
        """Send a batch until each of it has an answer, or its time is up."""
        loop = asyncio.get_running_loop()
        deadline = batch[0].since + self._limits.seconds
        failures, verdict = 0, NOT_ACCEPTED
        while batch:
            self._metrics.forwards.inc()
            try:
                receipts = await self._client.create([send for waiting in batch for send in waiting.sends])
            except NothingAccepted:
                pass
            except UnknownEnd:
                verdict = UNKNOWN_END
                # Only what bears an id of its sender can be repeated without becoming two messages.
                self._refuse(_of_those(batch, repeatable=False), verdict)
                batch = _of_those(batch, repeatable=True)
            except Refused as refused:
                self._refuse(batch, str(refused))
                return
            else:
                self._answer(batch, receipts)
                return
            self._metrics.forward_failures.inc()
            pause = BACKOFF.after(failures := failures + 1)
            if loop.time() + pause > deadline:
                self._refuse(batch, verdict)
                return
            await asyncio.sleep(pause)

    def _answer(self, batch: list[_Waiting], receipts: Receipts) -> None:
        self._metrics.forwarded.inc(len(receipts))
        self._metrics.frames_refused.inc(sum(isinstance(receipt, str) for receipt in receipts))
        given = iter(receipts)
        self._finish(batch, [[_answer_to(send, next(given)) for send in each.sends] for each in batch])

    def _refuse(self, batch: list[_Waiting], reason: str) -> None:
        self._metrics.frames_refused.inc(sum(len(waiting.sends) for waiting in batch))
        self._finish(batch, [[_answer_to(send, reason) for send in each.sends] for each in batch])

    def _finish(self, batch: list[_Waiting], answers: list[list[bytes]]) -> None:
        """Write each gateway its answers, and read on where less waits now."""
        by_gateway: dict[Gateway, list[bytes]] = defaultdict(list)
        sizes: dict[Gateway, int] = defaultdict(int)
        for waiting, answered in zip(batch, answers, strict=True):
            by_gateway[waiting.gateway] += answered
            sizes[waiting.gateway] += waiting.size
        for gateway, answered in by_gateway.items():
            if any(answered):
                gateway.socket.write(b"".join(answered))
        for gateway, size in sizes.items():
            self._waiting_bytes -= size
            gateway.answered(size)
        for gateway in [gateway for gateway in self._held if not self._is_over(gateway)]:
            self._held.discard(gateway)
            gateway.resume(PauseReason.FORWARDS)


def _next_batch(lane: deque[_Waiting]) -> list[_Waiting]:
    """Take from the lane as much as goes into one batch: always at least one send."""
    batch: list[_Waiting] = []
    count, size = MAX_BATCH, BATCH_BYTES
    while lane:
        waiting = lane[0]
        room = min(count, max(size // waiting.send_bytes, 0 if batch else 1))
        if room < len(waiting.sends):
            if room:
                batch.append(waiting._replace(sends=waiting.sends[:room]))
                lane[0] = waiting._replace(sends=waiting.sends[room:])
            break
        batch.append(lane.popleft())
        count -= len(waiting.sends)
        size -= waiting.size
    return batch


def _of_those(batch: list[_Waiting], *, repeatable: bool) -> list[_Waiting]:
    """The same with the sends only that have an id of their sender, or with the others."""
    chosen = [
        waiting._replace(sends=[send for send in waiting.sends if bool(send.client_message_id) == repeatable])
        for waiting in batch
    ]
    return [waiting for waiting in chosen if waiting.sends]


def _answer_to(send: SendMessage, receipt: SendReceipt | str) -> bytes:
    """The frame that a gateway gets for ``send``; none if it was accepted and bore no id of its own."""
    own_id = send.client_message_id
    if isinstance(receipt, str):
        return frames.frame_refused(receipt, own_id)
    if own_id is None:
        return b""
    return frames.send_acknowledged(
        own_id, receipt["messageId"], receipt["createTime"], duplicate=receipt["duplicate"]
    )
