"""A TCP proxy that tests put between two processes, to do to their connections what networks do."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncGenerator

from imc_testkit.child import free_port

PIECE_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class TcpProxy:
    """Passes bytes between its own port and a server, as well as it is told to; made by `tcp_proxy`."""

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        self._target = (host, port)
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._swallows = False
        self.taken = 0
        """Connections that were taken so far."""
        self.replied = 0
        """Bytes that the server has answered so far."""

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset all connections, on both sides. New ones are taken."""
        for writer in self._writers:
            if writer.transport.is_closing():
                continue
            # Without lingering the kernel says RST instead of FIN: what is under way is lost.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset all connections, and refuse new ones until `accept`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    async def accept(self) -> None:
        """Take connections, on the same port as before."""
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def freeze(self) -> None:
        """Take connections and hold them, but pass nothing: neither bytes nor ends, in either direction."""
        self._flows.clear()

    def thaw(self) -> None:
        """Pass on what was held, and everything from here on."""
        self._flows.set()

    def delay(self, seconds: float) -> None:
        """Pass each piece of up to `PIECE_BYTES` that much later; 0 ends it."""
        self._delay = seconds

    def swallow_replies(self) -> None:
        """Pass what clients say, and drop what the server answers, until `pass_replies`."""
        self._swallows = True

    def pass_replies(self) -> None:
        """Pass replies again: on new connections, since the old ones would have a hole in them."""
        self._swallows = False
        self.cut()

    def lead_to(self, host: str, port: int) -> None:
        """Connect to another server from here on, as after a failover; the connections to the old one end."""
        self._target = (host, port)
        self.cut()

    def lead_new_to(self, host: str, port: int) -> None:
        """Connect to another server from here on; connections to the old one stay."""
        self._target = (host, port)

    async def close(self) -> None:
        """Refuse everything, and wait until nothing of it is left."""
        self.refuse()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        self._writers.add(writer)
        self.taken += 1
        try:
            # A frozen proxy has accepted, as the kernel of a hung server does, and goes no further.
            await self._flows.wait()
            with contextlib.suppress(OSError):
                await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # asyncio would report the end of this task as a fault
        finally:
            self._pumps.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._writers.add(server_writer)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, server_writer, is_reply=False))
                pumps.create_task(self._pump(server_reader, writer, is_reply=True))
        finally:
            self._writers.discard(server_writer)
            server_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._flows.wait()
                if is_reply:
                    self.replied += len(piece)
                if not (is_reply and self._swallows):
                    writer.write(piece)
                    await writer.drain()
            await self._flows.wait()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            # One side was reset, as the kernel does to the connections of a killed process: so is the other.
            await self._flows.wait()
            writer.transport.abort()


@contextlib.asynccontextmanager
async def tcp_proxy(host: str, port: int) -> AsyncGenerator[TcpProxy]:
    """A proxy in front of the server at ``host`` and ``port``, which need not be up yet."""
    proxy = TcpProxy(host, port)
    await proxy.accept()
    try:
        yield proxy
    finally:
        await proxy.close()
