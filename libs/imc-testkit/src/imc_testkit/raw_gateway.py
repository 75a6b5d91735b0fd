"""A gateway that writes what it is told to, byte by byte, and looks at nothing that no test asks for."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Self
from urllib.parse import urlsplit

from imc_testkit.wire_fuzz import handshake

READ_SECONDS = 30.0
_CLOSE_FRAME = 0x88


class RawGateway:
    """One connection; made by `connecting`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = b""
        """What was read and not looked at."""
        self._is_connected = False

    @classmethod
    @contextlib.asynccontextmanager
    async def connecting(cls, url: str, app_id: str, gateway_id: str) -> AsyncGenerator[Self]:
        """Ask the node at ``url`` for an upgrade; the answer is not waited for."""
        host = urlsplit(url).netloc
        reader, writer = await asyncio.open_connection(*host.split(":"))
        gateway = cls(reader, writer)
        writer.write(handshake(host, f"/v1/gateways/{app_id}/{gateway_id}"))
        try:
            yield gateway
        finally:
            gateway.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    @property
    def unsent_bytes(self) -> int:
        """How much of what was written waits in this process."""
        return self._writer.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Write bytes; never waits."""
        self._writer.write(data)

    async def drained(self) -> None:
        """Wait until most of what was written has left this process; raises `OSError` if the node is gone."""
        await self._writer.drain()

    async def drip(self, parts: Sequence[bytes], seconds: float) -> None:
        """Write ``parts`` with so much time between."""
        for part in parts:
            self.write(part)
            await asyncio.sleep(seconds)

    def abort(self) -> None:
        """Be gone, without a close frame."""
        self._writer.transport.abort()

    async def read_until(self, mark: bytes) -> None:
        """Read past the first frame that holds ``mark``.

        Raises `EOFError` if the node hangs up before, `TimeoutError`.
        """
        async with asyncio.timeout(READ_SECONDS):
            while mark not in await self._next_frame():
                pass

    async def close_code(self) -> int:
        """Read past the close frame; its code. Raises as `read_until` does."""
        async with asyncio.timeout(READ_SECONDS):
            while (frame := await self._next_frame())[0] != _CLOSE_FRAME:
                pass
        return int.from_bytes(frame[2:4], "big")

    async def rest(self) -> bytes:
        """What the node still writes until it hangs up."""
        async with asyncio.timeout(READ_SECONDS):
            with contextlib.suppress(EOFError):
                while True:
                    self._received += await self._read()
        return self._received

    async def _next_frame(self) -> bytes:
        """A whole frame, after the answer to the handshake."""
        if not self._is_connected:
            while b"\r\n\r\n" not in self._received:
                self._received += await self._read()
            self._received = self._received.partition(b"\r\n\r\n")[2]
            self._is_connected = True
        while (size := _frame_size(self._received)) is None:
            self._received += await self._read()
        frame, self._received = self._received[:size], self._received[size:]
        return frame

    async def _read(self) -> bytes:
        try:
            data = await self._reader.read(65_536)
        except ConnectionError as error:
            raise EOFError("the node has hung up") from error
        if not data:
            raise EOFError("the node has hung up")
        return data


def _frame_size(data: bytes) -> int | None:
    """Of the frame that ``data`` begins with, unmasked as a server's are; None if it is not whole."""
    if len(data) < 2:
        return None
    size, width = data[1], 0
    if size > 125:
        width = 2 if size == 126 else 8
        size = int.from_bytes(data[2 : 2 + width], "big")
    whole = 2 + width + size
    return whole if len(data) >= whole else None
