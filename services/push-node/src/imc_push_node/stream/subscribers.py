"""The live gateways of an app: an entry becomes a frame once, a gateway is written to once a wake-up."""

import asyncio
from collections.abc import Callable, Sequence

from imc_contracts.cursor import Cursor
from imc_contracts.events import Entry, EventKind

from imc_push_node.gateway import frames
from imc_push_node.gateway.broadcast_group import BroadcastGroup
from imc_push_node.gateway.gateway import Gateway
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.replay_buffer import Broadcast, ReplayBuffer

JOIN_BYTES = 262_144
"""Frames are joined up to about this size: between two writes a full gateway is noticed."""


class Subscribers:
    """The live gateways of an app. All of them have got everything up to ``head``.

    What moves a gateway here or away never waits, so that no push can fall between: `admit` and `dismiss`
    first write what is still to be written.
    """

    def __init__(self, metrics: NodeMetrics) -> None:
        self._metrics = metrics
        self.on_slow: Callable[[Gateway, Cursor], None] = lambda _gateway, _position: None
        """Called with each gateway whose buffer is full, and the point that it was told up to."""
        self._live: set[Gateway] = set()
        self.full: set[Gateway] = set()
        """Those of the app, live or not, whose buffer is full just now."""
        self._informed, self._plain = BroadcastGroup(), BroadcastGroup()
        """The live ones that want notices, and those that do not."""
        self._head: Cursor | None = None
        self._outbox: list[bytes] = []
        self._outbox_messages: list[bytes] = []
        self._outbox_bytes = 0
        self._outbox_recalls = False
        self._written_to: Cursor | None = None
        self._flush_handle: asyncio.Handle | None = None
        self.replay_buffer = ReplayBuffer()
        self.generation = 0
        """Grows with each recall and each gap: what was read before may not be shown again as it was."""

    @property
    def head(self) -> Cursor:
        """The point up to which everything was told. Not before `begin`."""
        assert self._head is not None, "the app's point is not known yet"
        return self._head

    @property
    def has_begun(self) -> bool:
        """Whether the app's point is known."""
        return self._head is not None

    def begin(self, point: Cursor) -> None:
        """Stand at ``point``."""
        self._head = self._written_to = point

    def tell(self, epoch: str, entries: Sequence[Entry], end: Cursor) -> None:
        """Tell what follows ``head``, up to ``end``: written when the loop is next free, if much at once."""
        for entry in entries:
            frame = frames.push(epoch, entry)
            self._outbox.append(frame)
            if not entry.kind.is_notice:
                self._outbox_messages.append(frame)
            if entry.kind is EventKind.MESSAGE_RECALLED:
                self._outbox_recalls = True
                self.generation += 1
            self._outbox_bytes += len(frame)
            if self._outbox_bytes >= JOIN_BYTES:
                self._head = Cursor(epoch, entry.id)
                self.flush()
        self._head = end
        if self._flush_handle is None:
            self._flush_handle = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write what is to be written."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._written_to == self._head:
            return
        assert self._written_to is not None
        told = self._take_outbox(self._written_to, self.head)
        self._written_to = self._head
        if told.count:
            self._write(told)

    def _take_outbox(self, start: Cursor, end: Cursor) -> Broadcast:
        joined = b"".join(self._outbox)
        count, messages_count = len(self._outbox), len(self._outbox_messages)
        messages = joined if count == messages_count else b"".join(self._outbox_messages)
        now = asyncio.get_running_loop().time()
        told = Broadcast(start, end, joined, messages, count, messages_count, now)
        if self._outbox_recalls:
            # The frame of the recalled message may be among what is kept, with the content that nobody may
            # read again. Whoever needs this stretch reads it from the log.
            self.replay_buffer.clear()
        else:
            self.replay_buffer.append(told)
        self._outbox, self._outbox_messages = [], []
        self._outbox_bytes, self._outbox_recalls = 0, False
        return told

    def _write(self, told: Broadcast) -> None:
        slow = self.full & self._live
        for gateway in slow:
            self.dismiss(gateway)
        self._informed.write(told.frames)
        if told.messages:
            self._plain.write(told.messages)
        self._metrics.entries.inc(told.count)
        pushes = told.count * len(self._informed) + told.messages_count * len(self._plain)
        self._metrics.deliveries.inc(pushes)
        for gateway in slow:
            self._metrics.demotions.inc()
            self.on_slow(gateway, told.start)

    def jump(self, to: Cursor) -> None:
        """Go on from ``to``, which does not follow from ``head``: every live gateway is told of the gap."""
        self.flush()
        frame = frames.gap(self.head, to)
        for group in (self._informed, self._plain):
            group.write(frame)
        self._metrics.gaps.inc(len(self._live))
        self._head = self._written_to = to
        self.generation += 1
        self.replay_buffer.clear()

    def admit(self, gateway: Gateway) -> None:
        """Take in a gateway that stands at ``head``, as far as `flush` has written it."""
        assert self._written_to == self._head, "flush before anything is decided by the head"
        self._live.add(gateway)
        self._group(gateway).add(gateway.socket)

    def dismiss(self, gateway: Gateway) -> None:
        """Let a gateway go."""
        self._live.discard(gateway)
        self._group(gateway).discard(gateway.socket)

    def _group(self, gateway: Gateway) -> BroadcastGroup:
        return self._informed if gateway.wants_notices else self._plain
