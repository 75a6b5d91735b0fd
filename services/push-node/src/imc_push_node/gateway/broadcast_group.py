"""Sockets that are told the same, written to in the shortest of loops.

Where a wake-up brings one push, what is done for each gateway beside the kernel's own write is a sixth of all
that it costs. So nothing is looked at there: who has ended or is full is not in the group any more, and bytes
are counted once for all.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

Write = Callable[[bytes], object]


class GroupSocket(Protocol):
    """A socket that may be in a group; see `GroupMember`."""

    def enter(self, group: "BroadcastGroup") -> Write:
        """Be written to by ``group``, until `leave`; how it is to write."""
        ...

    def leave(self) -> None:
        """Be written to by no group any more."""
        ...


class BroadcastGroup:
    """All that are told the same from here on. Who ends must leave in that moment."""

    def __init__(self) -> None:
        self.written = 0
        """Bytes written to each so far; to one that has come later, what was written since."""
        self._writes: dict[GroupSocket, Write] = {}

    def __len__(self) -> int:
        return len(self._writes)

    def add(self, socket: GroupSocket) -> None:
        """Take a socket in."""
        self._writes[socket] = socket.enter(self)

    def discard(self, socket: GroupSocket) -> None:
        """Let a socket go, if it is here."""
        if self._writes.pop(socket, None) is not None:
            socket.leave()

    def write(self, frames: bytes) -> None:
        """Write encoded frames to all; never waits."""
        self.written += len(frames)
        for write in list(self._writes.values()):
            write(frames)


class GroupMember:
    """What a socket has to know of the group that it is in."""

    transport: asyncio.Transport
    _group: BroadcastGroup | None = None
    _written_apart = 0

    @property
    def written(self) -> int:
        """How many bytes were written so far, by its groups too."""
        return self._written_apart + (self._group.written if self._group is not None else 0)

    def enter(self, group: BroadcastGroup) -> Write:
        """Be written to by ``group``: by the transport itself, past everything of ours."""
        self._group = group
        self._written_apart -= group.written
        return self.transport.write

    def leave(self) -> None:
        """Be written to by no group any more."""
        self._written_apart, self._group = self.written, None
