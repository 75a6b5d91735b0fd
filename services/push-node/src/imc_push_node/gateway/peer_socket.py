"""What WebSockets and event streams have in common: a transport that they, and their group, write to."""

import asyncio

from imc_push_node.gateway import tcp
from imc_push_node.gateway.broadcast_group import GroupMember
from imc_push_node.gateway.gateway import SocketListener


class PeerSocket(GroupMember, asyncio.Protocol):
    """The part of a `Socket` that writes to a peer, and knows what became of it."""

    is_full = False
    has_ended = False
    _listener: SocketListener | None = None

    def write(self, frames: bytes) -> None:
        """Write what is encoded; never waits. Dropped once the socket has ended."""
        if not self.has_ended:
            self._written_apart += len(frames)
            self.transport.write(frames)

    @property
    def taken(self) -> int:
        """How many of the written bytes the peer's machine has acknowledged."""
        if self.transport.is_closing():
            return 0
        in_kernel = tcp.unacknowledged_bytes(self.transport.get_extra_info("socket"))
        return self.written - self.transport.get_write_buffer_size() - in_kernel

    def is_unreachable(self, seconds: float) -> bool:
        """Whether the peer's machine was silent for so long, while bytes are on their way to it."""
        return tcp.is_unreachable(self.transport.get_extra_info("socket"), seconds)

    def pause_writing(self) -> None:
        """The transport's buffer is over its limit."""
        super().pause_writing()
        self.is_full = True
        if self._listener is not None and not self.has_ended:
            self._listener.on_full()

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        super().resume_writing()
        self.is_full = False
        if self._listener is not None and not self.has_ended:
            self._listener.on_room()
