"""The live gateways of an app: an entry becomes a frame once, a gateway is written to once a wake-up."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from imc_contracts.cursor import Cursor
from imc_contracts.events import Entry, EventKind

from imc_push_node.gateway import frames
from imc_push_node.gateway.broadcast_group import BroadcastGroup
from imc_push_node.gateway.gateway import Gateway
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.replay_buffer import Broadcast, ReplayBuffer

JOIN_BYTES = 262_144
"""Entries are joined up to about this size: between two writes a full gateway is noticed."""


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
        self._groups = {push_format: BroadcastGroup() for push_format in PushFormat}
        """The live ones, by what they get."""
        self._listeners: Counter[PushFormat] = Counter()
        self._formats: tuple[PushFormat, ...] = ()
        """What gateways of the app get, live or not: entries are encoded for nobody else."""
        self._head: Cursor | None = None
        self._epoch = ""
        """That of the entries in the outbox."""
        self._outbox: list[Entry] = []
        self._outbox_bytes = 0
        self._outbox_has_notices = False
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
        self._epoch = epoch
        for entry in entries:
            kind = entry.kind
            if kind is not EventKind.MESSAGE_SENT:
                self._note_in_outbox(kind)
            self._outbox.append(entry)
            self._outbox_bytes += len(entry.body)
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
        broadcast = self._take_outbox(self._written_to, self.head)
        self._written_to = self._head
        self._write(broadcast)

    def _note_in_outbox(self, kind: EventKind) -> None:
        self._outbox_has_notices |= kind.is_notice
        if kind is EventKind.MESSAGE_RECALLED:
            self._outbox_recalls = True
            self.generation += 1

    def _take_outbox(self, start: Cursor, end: Cursor) -> Broadcast:
        framed = FramedEntries(self._epoch, self._outbox, has_notices=self._outbox_has_notices)
        pushes = {push_format: framed.all(push_format) for push_format in self._formats}
        broadcast = Broadcast(start, end, pushes, self._outbox_bytes, asyncio.get_running_loop().time())
        if self._outbox_recalls:
            # The push of the recalled message may be among what is kept, with the content that nobody may
            # read again. Whoever needs these entries reads them from the log.
            self.replay_buffer.clear()
        else:
            self.replay_buffer.append(broadcast)
        self._metrics.entries.inc(len(self._outbox))
        self._outbox, self._outbox_bytes = [], 0
        self._outbox_recalls = self._outbox_has_notices = False
        return broadcast

    def _write(self, broadcast: Broadcast) -> None:
        slow = self.full & self._live if self.full else ()
        for gateway in slow:
            self.dismiss(gateway)
        deliveries = 0
        for push_format, (encoded, number) in broadcast.pushes.items():
            group = self._groups[push_format]
            if number:
                group.write(encoded)
                deliveries += number * len(group)
        self._metrics.deliveries.inc(deliveries)
        for gateway in slow:
            self._metrics.demotions.inc()
            self.on_slow(gateway, broadcast.start)

    def jump(self, to: Cursor) -> None:
        """Go on from ``to``, which does not follow from ``head``: live gateways are told of the gap."""
        self.flush()
        frame = frames.gap(self.head, to)
        for push_format, group in self._groups.items():
            if push_format.has_cursors:
                group.write(frame)
                self._metrics.gaps.inc(len(group))
            else:
                self._metrics.untold_gaps.inc(len(group))
        self._head = self._written_to = to
        self.generation += 1
        self.replay_buffer.clear()

    def expect(self, gateway: Gateway) -> None:
        """Encode from here on what a gateway of the app gets, until `forget`."""
        self._listeners[gateway.format] += 1
        self._formats = tuple(self._listeners)

    def forget(self, gateway: Gateway) -> None:
        """Encode nothing for a gateway any more."""
        self._listeners -= Counter([gateway.format])
        self._formats = tuple(self._listeners)

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
        return self._groups[gateway.format]
