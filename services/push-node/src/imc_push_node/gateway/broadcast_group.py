"""Sockets that get the same bytes, written to in the shortest possible loop.

If a wake-up brings one push, a sixth of its cost is what is done for each gateway beside the kernel's own
write. So the loop checks nothing: a socket that has ended or is full is no longer in the group, and bytes are
counted once for all.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

Write = Callable[[bytes], object]


class GroupSocket(Protocol):
    """A socket that may be in a group; see `GroupMember`."""

    def enter(self, group: "BroadcastGroup") -> Write:
        """Join ``group``, until `leave`. Returns the function by which the group writes."""
        ...

    def leave(self) -> None:
        """Leave the group."""
        ...


class BroadcastGroup:
    """Sockets that get the same bytes. A socket must leave in the moment in which it ends."""

    def __init__(self) -> None:
        self.written = 0
        """Bytes written since the group exists. A socket that joined later got fewer."""
        self._writes: dict[GroupSocket, Write] = {}

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, socket: GroupSocket) -> None:
        """Add a socket."""
        self._writes[socket] = socket.enter(self)

    def discard(self, socket: GroupSocket) -> None:
        """Remove a socket, if it is here."""
        if self._writes.pop(socket, None) is not None:
            socket.leave()

    def write(self, frames: bytes) -> None:
        """Write encoded frames to all sockets. Never waits."""
        self.written += len(frames)
        for write in list(self._writes.values()):
            write(frames)


class GroupMember:
    """The part of a socket that knows its group."""

    transport: asyncio.Transport
    _group: BroadcastGroup | None = None
    _written_apart = 0

    @property
    def written(self) -> int:
        """How many bytes were written so far, those of its groups included."""
        return self._written_apart + (self._group.written if self._group is not None else 0)

    def enter(self, group: BroadcastGroup) -> Write:
        """Join ``group``, which writes to the transport itself, past everything of ours."""
        self._group = group
        self._written_apart -= group.written
        return self.transport.write

    def leave(self) -> None:
        """Leave the group."""
        self._written_apart, self._group = self.written, None
