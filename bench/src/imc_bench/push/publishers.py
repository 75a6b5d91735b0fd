"""Publishers: the cheapest way that each relay offers to send messages to it."""

import asyncio
from typing import Any, cast

import orjson

from imc_bench.http.callers import STATUS, body_of
from imc_bench.peers import centrifugo
from imc_bench.push.listener import masked_frame, upgrade_request
from imc_bench.rows import InvalidRun

TIMEOUT_SECONDS = 30.0
KEPT_SECONDS = 2.0
"""How long an idle connection is reused. Servers close it later; uvicorn after 5 seconds."""


class HttpConnection(asyncio.Protocol):
    """An HTTP connection for one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take a reply, or part of one."""
        self._received += data
        body = body_of(self._received)
        if body is not None and self._answered is not None:
            reply, self._received = self._received, b""
            answered, self._answered = self._answered, None
            if answered.done():
                return  # the request has timed out
            if not reply[STATUS].startswith(b"20") or b'"success":false' in body:
                answered.set_exception(InvalidRun(f"a send was answered with {reply[:300]!r}"))
            else:
                answered.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(InvalidRun(f"the connection of a sender ended: {exc}"))

    async def post(self, path: str, body: bytes, media_type: str) -> bytes:
        """Send a POST request; return the body of the reply. Raises `InvalidRun` unless it succeeds."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        answered = self._answered
        head = f"POST {path} HTTP/1.1\r\nHost: imc\r\nContent-Type: {media_type}\r\n"
        self._transport.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await answered

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class HttpSender:
    """Sends requests to one server, and replaces the connection before the server closes it as idle."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: HttpConnection | None = None
        self._used = 0.0

    async def post(self, path: str, body: bytes, media_type: str = "application/json") -> bytes:
        """Send a POST request; return the body of the reply. Raises `InvalidRun` unless it succeeds."""
        loop = asyncio.get_running_loop()
        if self._connection is None or loop.time() - self._used > KEPT_SECONDS:
            self.close()
            _, self._connection = await loop.create_connection(HttpConnection, "127.0.0.1", self._port)
        answer = await self._connection.post(path, body, media_type)
        self._used = loop.time()
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


class ImcPublisher:
    """Publishes to IMC with ``create`` and ``createBatch``."""

    def __init__(self, http: HttpSender, app_id: str) -> None:
        self._http = http
        self._fields = {"appId": app_id, "groupId": "group-1", "userId": "user-1"}

    async def publish(self, contents: list[str]) -> None:
        """Send messages, and wait for the acknowledgement."""
        messages = [{**self._fields, "content": content} for content in contents]
        if len(messages) == 1:
            await self._http.post("/v1/commands/send-message", orjson.dumps(messages[0]))
        else:
            await self._http.post("/v1/commands/send-messages", orjson.dumps({"messages": messages}))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class CentrifugoPublisher:
    """Publishes to a channel of Centrifugo: one message in a call, or several that it takes in order."""

    def __init__(self, http: HttpSender, channel: str) -> None:
        self._http = http
        self._channel = channel

    async def publish(self, contents: list[str]) -> None:
        """Send messages, and wait for the reply. Raises `InvalidRun` if one was not accepted."""
        messages = [{"channel": self._channel, "data": content} for content in contents]
        if len(messages) == 1:
            answer = await self._http.post(centrifugo.PUBLISH, orjson.dumps(messages[0]))
        else:
            commands = [{"publish": message} for message in messages]
            answer = await self._http.post(centrifugo.PUBLISH_BATCH, orjson.dumps({"commands": commands}))
        # Refusals are answered with status 200.
        if b'"error"' in answer:
            raise InvalidRun(f"a send was answered with {answer[:300]!r}")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class PostPublisher:
    """Publishes each message with a POST request."""

    def __init__(self, http: HttpSender, path: str) -> None:
        self._http = http
        self._path = path

    async def publish(self, contents: list[str]) -> None:
        """Post messages one by one, and wait for the replies."""
        for content in contents:
            await self._http.post(self._path, content.encode(), "text/plain")

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class WebSocketPublisher(asyncio.Protocol):
    """Publishes each message as a WebSocket frame, and ignores what it receives."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the upgrade request."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(upgrade_request(self._path))

    def data_received(self, data: bytes) -> None:
        """Take the reply to the upgrade; ignore all else."""
        if not self.opened.done():
            self.opened.set_result(None)

    async def publish(self, contents: list[str]) -> None:
        """Write messages. The load limits how many are under way."""
        assert self._transport is not None
        self._transport.write(b"".join(masked_frame(0x81, content.encode()) for content in contents))

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


class RedisPublisher:
    """Publishes to a Redis channel."""

    def __init__(self, redis: Any, channel: str) -> None:
        self._redis = redis
        self._channel = channel

    async def publish(self, contents: list[str]) -> None:
        """Publish messages in one pipeline."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for content in contents:
                pipeline.publish(self._channel, content)
            await pipeline.execute()

    def close(self) -> None:
        """Do nothing: the client is shared."""


class RawPublisher(asyncio.Protocol):
    """Publishes chunks of encoded frames, which the bare relay only has to copy to the listeners."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    async def publish(self, contents: list[str]) -> None:
        """Write messages as one chunk."""
        assert self._transport is not None
        payloads = [content.encode() for content in contents]
        chunk = b"".join(b"\x81\x7e" + len(payload).to_bytes(2) + payload for payload in payloads)
        self._transport.write(len(chunk).to_bytes(4) + chunk)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()
