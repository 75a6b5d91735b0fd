"""The ways in: each peer's own, as cheap for it as it offers them."""

import asyncio
import re
from typing import Any, cast

import orjson

from imc_bench.push.listener import masked_frame, upgrade_request
from imc_bench.rows import Faulty

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE_SECONDS = 30.0
KEPT_SECONDS = 2.0
"""Servers close what is idle for longer; uvicorn waits 5 seconds, say."""


class HttpConnection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of a reply."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and length is not None and len(body) >= int(length[1]) and self._answered is not None:
            answered, self._answered, self._received = self._answered, None, b""
            if answered.done():
                return  # nobody waits for it any more
            if head[9:11] != b"20" or b'"success":false' in body:
                answered.set_exception(Faulty(f"a send was answered {head[:60]!r} {body[:300]!r}"))
            else:
                answered.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(Faulty(f"the connection of a sender ended: {exc}"))

    async def post(self, path: str, body: bytes, media_type: str) -> bytes:
        """The reply's body; raises `Faulty` for any but a success."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        answered = self._answered
        head = f"POST {path} HTTP/1.1\r\nHost: imc\r\nContent-Type: {media_type}\r\n"
        self._transport.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answered

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class HttpSender:
    """Posts to one server, over a connection that is replaced before the server finds it idle."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: HttpConnection | None = None
        self._used = 0.0

    async def post(self, path: str, body: bytes, media_type: str = "application/json") -> bytes:
        """The reply's body; raises `Faulty` for any but a success."""
        loop = asyncio.get_running_loop()
        if self._connection is None or loop.time() - self._used > KEPT_SECONDS:
            self.close()
            _, self._connection = await loop.create_connection(HttpConnection, "127.0.0.1", self._port)
        answer = await self._connection.post(path, body, media_type)
        self._used = loop.time()
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()


class ImcOutlet:
    """IMC's calls ``create`` and ``createBatch``."""

    def __init__(self, http: HttpSender, app_id: str) -> None:
        self._http = http
        self._fields = {"appId": app_id, "groupId": "group-1", "userId": "user-1"}

    async def put(self, contents: list[str]) -> None:
        """Acknowledged from the log."""
        messages = [{**self._fields, "content": content} for content in contents]
        if len(messages) == 1:
            await self._http.post("/chat/message/create", orjson.dumps(messages[0]))
        else:
            await self._http.post("/chat/message/createBatch", orjson.dumps({"messages": messages}))

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class PostOutlet:
    """A path that each message is posted to."""

    def __init__(self, http: HttpSender, path: str) -> None:
        self._http = http
        self._path = path

    async def put(self, contents: list[str]) -> None:
        """Answered."""
        for content in contents:
            await self._http.post(self._path, content.encode(), "text/plain")

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class WebSocketOutlet(asyncio.Protocol):
    """A WebSocket that each message is written to as a frame; what comes back is not looked at."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(upgrade_request(self._path))

    def data_received(self, data: bytes) -> None:
        """The upgrade, or an answer."""
        if not self.opened.done():
            self.opened.set_result(None)

    async def put(self, contents: list[str]) -> None:
        """Written; the window of the load keeps it from being too much."""
        assert self._transport is not None
        self._transport.write(b"".join(masked_frame(0x81, content.encode()) for content in contents))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class RedisOutlet:
    """A channel of Redis."""

    def __init__(self, redis: Any, channel: str) -> None:
        self._redis = redis
        self._channel = channel

    async def put(self, contents: list[str]) -> None:
        """Published."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for content in contents:
                pipeline.publish(self._channel, content)
            await pipeline.execute()

    def close(self) -> None:
        """The client is another's to close."""


class RawOutlet(asyncio.Protocol):
    """A connection for chunks of frames as they go to listeners: nothing is left to do but write them."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    async def put(self, contents: list[str]) -> None:
        """Written."""
        assert self._transport is not None
        payloads = [content.encode() for content in contents]
        chunk = b"".join(b"\x81\x7e" + len(payload).to_bytes(2) + payload for payload in payloads)
        self._transport.write(len(chunk).to_bytes(4) + chunk)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
