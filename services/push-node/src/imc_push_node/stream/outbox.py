"""What an app's gateways on this node are told next."""

import asyncio
from collections.abc import Collection, Sequence

from imc_contracts.cursor import Cursor
from imc_contracts.events import Entry, EventKind

from imc_push_node.gateway.gateway import Amount
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.replay_buffer import REPLAY_BUFFER_SECONDS, Broadcast, ReplayBuffer
from imc_push_node.stream.trail import TRAIL_SECONDS, Trail

_LONG_AGO = float("-inf")

BROADCAST_BYTES = 262_144
"""About the most that one broadcast holds: full buffers are noticed between two broadcasts."""


class Outbox:
    """The head of an app, and the entries up to the head that are not written yet."""

    def __init__(self) -> None:
        self._head: Cursor | None = None
        self._written: Cursor | None = None
        """The position up to which everything is written."""
        self._epoch = ""
        self._entries: list[Entry] = []
        self._size = 0
        self._has_notices = False
        self._hides_earlier = False
        self.replay_buffer = ReplayBuffer()
        self.told = Amount(0, 0)
        """What was written since the app is followed."""
        self.trail = Trail()
        self.generation = 0
        """Grows with each recall, erasure and gap: what was read before may not be shown as it was."""

    @property
    def head(self) -> Cursor:
        """The position that the live gateways have reached, once the outbox is empty. `begin` comes first."""
        assert self._head is not None, "the position of the app is not known yet"
        return self._head

    @property
    def has_begun(self) -> bool:
        """Whether the head is known."""
        return self._head is not None

    @property
    def is_empty(self) -> bool:
        """Whether everything up to the head is written."""
        return self._written == self._head

    def begin(self, position: Cursor) -> None:
        """Set the head for the first time."""
        self._head = self._written = position
        self._note_start(position)

    def jump(self, position: Cursor) -> None:
        """Go on from a position that does not follow from the head. The outbox must be empty.

        If it is one that was passed lately, what was pushed since then is lost.
        """
        assert self.is_empty, "entries before the gap are not written yet"
        origin = str(position.entry).encode()
        if position.epoch == self.head.epoch and origin in self.trail.ids:
            self.trail.go_back(origin, _now())
        else:
            self.trail.clear()
            self._note_start(position)
        self._head = self._written = position
        self.generation += 1
        self.replay_buffer.clear()

    def forget(self, now: float) -> float | None:
        """Drop what is kept of pushes for some seconds only.

        Returns after how many seconds to call it again; None if nothing is left to forget.
        """
        self.replay_buffer.forget(now - REPLAY_BUFFER_SECONDS)
        self.trail.forget(now - TRAIL_SECONDS)
        if not self.replay_buffer.is_empty:
            return REPLAY_BUFFER_SECONDS
        return None if self.trail.is_short else TRAIL_SECONDS

    def add(self, epoch: str, entries: Sequence[Entry], end: Cursor) -> Sequence[Entry]:
        """Add the entries between the head and ``end``. Returns those that fit only after the next `take`."""
        self._epoch = epoch
        for count, entry in enumerate(entries, 1):
            if entry.kind is not EventKind.MESSAGE_SENT:
                self._note(entry.kind)
            self._entries.append(entry)
            self._size += len(entry.body)
            if self._size >= BROADCAST_BYTES and count < len(entries):
                self._head = Cursor(epoch, entry.id)
                return entries[count:]
        self._head = end
        return ()

    def take(self, formats: Collection[PushFormat]) -> tuple[Broadcast, FramedEntries]:
        """Empty the outbox, and keep the broadcast for replays. Returns it, and the entries in it."""
        assert self._written is not None, "the position of the app is not known yet"
        framed = FramedEntries(self._epoch, self._entries, has_notices=self._has_notices, size=self._size)
        pushes = {push_format: framed.all(push_format) for push_format in formats}
        now = _now()
        if self._entries:
            self.trail.add([entry.id_text for entry in self._entries], now)
        broadcast = Broadcast(self._written, self.head, pushes, len(self._entries), self._size, now)
        if self._hides_earlier:
            # The push of a message that was recalled or erased may be among those kept, with the content that
            # nobody may read again. A gateway that needs these entries gets them from the log.
            self.replay_buffer.clear()
        else:
            self.replay_buffer.append(broadcast)
        self.told = self.told.plus(Amount(broadcast.entries, broadcast.size))
        self._written, self._entries, self._size = self._head, [], 0
        self._has_notices = self._hides_earlier = False
        return broadcast, framed

    def _note(self, kind: EventKind) -> None:
        if kind.is_notice:
            self._has_notices = True
        elif kind in (EventKind.MESSAGE_RECALLED, EventKind.ERASURE):
            self._hides_earlier = True
            self.generation += 1

    def _note_start(self, position: Cursor) -> None:
        if not position.is_unborn:
            self.trail.add([str(position.entry).encode()], at=_LONG_AGO)


def _now() -> float:
    return asyncio.get_running_loop().time()
