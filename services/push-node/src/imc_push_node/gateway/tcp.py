"""What the kernel knows of a TCP connection, and nothing else can tell: what its peer's machine acknowledges.

A machine acknowledges what it takes whether its process reads or not, and whether we read or not.
"""

import fcntl
import socket
import struct
import termios
from asyncio.trsock import TransportSocket

_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
"""None on systems other than Linux."""

_INFO = struct.Struct("=3xB20xI28xI")
"""Of Linux' ``struct tcp_info``: ``tcpi_probes``, ``tcpi_unacked``, ``tcpi_last_ack_recv`` (milliseconds)."""


def unacknowledged_bytes(connection: TransportSocket) -> int:
    """How many of the bytes that the kernel was given the peer's machine has not acknowledged."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    count: int = struct.unpack("i", answer)[0]
    return count


def is_unreachable(connection: TransportSocket, seconds: float) -> bool:
    """Whether the peer's machine has said nothing for ``seconds`` while the kernel waits for its answer.

    A machine whose receive buffer is full is there: it acknowledges no data, but answers the kernel's probes.
    These come ever more rarely, so that one that is on its way proves nothing: two without an answer do.
    False where the kernel does not say.
    """
    if _TCP_INFO is None:
        return False
    probes, unacked, silent_ms = _INFO.unpack(
        connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _INFO.size)
    )
    return (unacked > 0 or probes > 1) and silent_ms >= seconds * 1000
