"""Gateways that only listen: WebSocket clients that use very little CPU per push.

They read into one shared buffer, which `Reading` checks. Frames that a client must mask (RFC 6455, section
5.3) are masked with zeros, which does not change them.
"""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import cast

from imc_bench.push.stream import PING, PONG, Reading, Stream, first_frame

BUFFER_BYTES = 1_048_576
CONNECT_SECONDS = 30.0

Greeting = Callable[["Listener", bytes], bool]
"""Takes a frame that precedes the stream; returns whether it was the last such frame."""


def masked_frame(opcode: int, payload: bytes) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    if size < 126:
        head = bytes((opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((opcode, 0xFE)) + size.to_bytes(2)
    else:
        head = bytes((opcode, 0xFF)) + size.to_bytes(8)
    return head + b"\0\0\0\0" + payload


def upgrade_request(path: str) -> bytes:
    """The upgrade request for a WebSocket at ``path``."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Listener(asyncio.BufferedProtocol):
    """One connection. ``connected`` is done after the greeting, and fails if the server refuses."""

    _shared = memoryview(bytearray(BUFFER_BYTES))

    def __init__(self, stream: Stream, name: str, path: str, greeting: Greeting | None) -> None:
        self.reading = Reading(stream, name, self._on_control)
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrivals: list[tuple[float, int]] | None = None
        """If set to a list, each read adds its time and the position after it."""
        self.greeted = b""
        """The last payload of the greeting."""
        self._name = name
        self._path = path
        self._greeting = greeting
        self._head = b""
        self._is_upgraded = False
        self._is_reading = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(upgrade_request(self._path))

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer. It is processed before the next read."""
        return self._shared

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that arrived."""
        if self._is_reading:
            self.reading.take(self._shared[:nbytes])
            if self.arrivals is not None:
                self.arrivals.append((time.perf_counter(), self.reading.position))
        else:
            self._take_head(bytes(self._shared[:nbytes]))

    def _take_head(self, data: bytes) -> None:
        self._head += data
        if not self._is_upgraded:
            reply, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in reply.partition(b"\r\n")[0]:
                self._fail(f"{self._name} was refused: {reply[:200]!r}")
                return
            self._is_upgraded = True
            self._head = rest
        while self._greeting is not None and (frame := first_frame(self._head)) is not None:
            payload, self._head = self._head[frame[0] : frame[1]], self._head[frame[1] :]
            self.greeted = payload
            if self._greeting(self, payload):
                self._greeting = None
        if self._greeting is None:
            self._is_reading = True
            self.reading.take(memoryview(self._head))
            if not self.connected.done():
                self.connected.set_result(None)

    @property
    def is_connected(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None and not self._transport.is_closing()

    def write(self, payload: bytes) -> None:
        """Write a text frame."""
        assert self._transport is not None
        self._transport.write(masked_frame(0x81, payload))

    def close(self) -> None:
        """Abort the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the connection ends before the greeting, with what was read last: that says why."""
        last = self.greeted or self._head
        self._fail(f"{self._name} was disconnected ({exc or 'by the server'}); read last: {last[-200:]!r}")

    def _fail(self, reason: str) -> None:
        if not self.connected.done():
            self.connected.set_exception(ConnectionError(reason))

    def _on_control(self, kind: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind == PING:
            self._transport.write(masked_frame(PONG, payload))
        elif kind != PONG:
            code = int.from_bytes(payload[:2])
            self.reading.stream.faults.append(f"{self._name} was closed with {code}: {payload[2:]!r}")
