"""The peers as relays, in their own processes on the server core."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from imc_testkit.child import free_port
from imc_testkit.programs import NotInstalled
from redis.asyncio import Redis

from imc_bench import cores
from imc_bench.peers import centrifugo, installing, nchan
from imc_bench.processes import listening
from imc_bench.push.listener import Listener
from imc_bench.push.publishers import (
    CentrifugoPublisher,
    HttpSender,
    PostPublisher,
    RawPublisher,
    RedisPublisher,
    WebSocketPublisher,
)
from imc_bench.push.relay import Publisher, Relay

MAX_NCHAN_MESSAGES = 32_000
"""Messages of a channel in one second. nchan numbers them with 16 bits: it delivered 32,768 of 33,800."""

_CENTRIFUGO_PUSH = b'{"channel":"app-12345678","pub":{"data":"","offset":1234}}'
_PRODUCTION_NODE = {"NODE_ENV": "production"}


async def installed(
    stack: contextlib.AsyncExitStack, peers: Mapping[str, contextlib.AbstractAsyncContextManager[Relay]]
) -> tuple[list[Relay], list[str]]:
    """Start the installed ``peers`` until ``stack`` is closed. Return them, and the names of the missing."""
    relays: list[Relay] = []
    missing: list[str] = []
    for name, peer in peers.items():
        try:
            relays.append(await stack.enter_async_context(peer))
        except NotInstalled:
            missing.append(name)
    return relays, missing


@contextlib.asynccontextmanager
async def nchan_relay(*, by_http: bool = False) -> AsyncGenerator[Relay]:
    """Start nginx with nchan, without message storage. Raises `NotInstalled`.

    Messages are published over a WebSocket, which is cheapest for nchan, or over HTTP.
    """
    nginx, module = installing.nginx_with_nchan()
    port = free_port()
    configuration = nchan.configure(installing.CACHE / "nchan", module, port)
    async with listening([nginx, "-c", str(configuration)], {}, port) as child:
        publisher = (_poster if by_http else _publisher)(port)
        yield Relay("nchan", (child.pid,), port, _listen, publisher, max_messages=MAX_NCHAN_MESSAGES)


@contextlib.asynccontextmanager
async def centrifugo_relay(*, with_redis: bool = False) -> AsyncGenerator[Relay]:
    """Start Centrifugo. ``with_redis`` counts the CPU time of its Redis too. Raises `NotInstalled`."""

    def path(app_id: str, number: int) -> str:
        connect = orjson.dumps({"token": centrifugo.token(f"gateway-{number}", app_id)})
        return f"/connection/uni_websocket?cf_connect={quote(connect)}"

    async with centrifugo.centrifugo() as server:

        async def publisher(app_id: str) -> Publisher:
            return CentrifugoPublisher(HttpSender(server.port), app_id)

        pids = (server.pid, server.redis_pid) if with_redis else (server.pid,)
        overhead = 4 + len(_CENTRIFUGO_PUSH)
        yield Relay("Centrifugo", pids, server.port, path, publisher, lambda: _centrifugo_greeting, overhead)


@contextlib.asynccontextmanager
async def ws_relay() -> AsyncGenerator[Relay]:
    """Start a relay with ws on node. Raises `NotInstalled`."""
    node, folder = installing.node_peers()
    port = free_port()
    async with listening([node, str(folder / "ws_relay.js")], _PRODUCTION_NODE, port) as child:
        yield Relay("node ws", (child.pid,), port, _listen, _publisher(port))


@contextlib.asynccontextmanager
async def socketio_relay(redis_url: str) -> AsyncGenerator[Relay]:
    """Start Socket.IO with its Redis adapter and a publisher process. Raises `NotInstalled`."""
    node, folder = installing.node_peers()
    program, env = [node, str(folder / "socketio_relay.js")], {**_PRODUCTION_NODE, "REDIS_URL": redis_url}
    port, publisher_port = free_port(), free_port()
    publisher_env = {**env, "ROLE": "publisher"}

    def path(app_id: str, number: int) -> str:
        return f"/socket.io/?EIO=4&transport=websocket&app={app_id}"

    async with (
        listening(program, env, port) as child,
        listening(program, publisher_env, publisher_port, cores.choose().load),
    ):
        publisher = _publisher(publisher_port)
        yield Relay("Socket.IO", (child.pid,), port, path, publisher, lambda: _socketio_greeting, 15)


@contextlib.asynccontextmanager
async def plain_relay(redis_url: str) -> AsyncGenerator[Relay]:
    """Start the plain FastAPI relay."""
    port = free_port()
    uvicorn = [_python_script("uvicorn"), "--factory", "imc_bench.peers.plain.relay:create_app"]
    options = ["--port", str(port), "--loop", "uvloop", "--log-level", "warning"]
    redis: Any = Redis.from_url(redis_url)  # pyright: ignore[reportUnknownMemberType]

    async def publisher(app_id: str) -> Publisher:
        return RedisPublisher(redis, f"plain:{app_id}:live")

    async with redis, listening([*uvicorn, *options], {"REDIS_URL": redis_url}, port) as child:
        yield Relay("plain", (child.pid,), port, _listen, publisher)


@contextlib.asynccontextmanager
async def bare_relay() -> AsyncGenerator[Relay]:
    """Start the bare relay, which serves one room at a time."""
    port = free_port()
    program = [_python_script("python"), "-m", "imc_bench.peers.bare_relay"]

    async def publisher(app_id: str) -> Publisher:
        _, raw = await asyncio.get_running_loop().create_connection(RawPublisher, "127.0.0.1", port)
        return raw

    async with listening(program, {}, port) as child:
        yield Relay("bare loop", (child.pid,), port, _listen, publisher)


def _python_script(name: str) -> str:
    return os.path.join(os.path.dirname(sys.executable), name)


def _listen(app_id: str, number: int) -> str:
    return f"/listen/{app_id}"


def _publisher(port: int) -> Callable[[str], Awaitable[Publisher]]:
    async def publisher(app_id: str) -> Publisher:
        loop = asyncio.get_running_loop()
        path = f"/publish/{app_id}"
        _, opened = await loop.create_connection(lambda: WebSocketPublisher(path), "127.0.0.1", port)
        await opened.opened
        return opened

    return publisher


def _poster(port: int) -> Callable[[str], Awaitable[Publisher]]:
    async def publisher(app_id: str) -> Publisher:
        return PostPublisher(HttpSender(port), f"/publish/{app_id}")

    return publisher


def _centrifugo_greeting(listener: Listener, payload: bytes) -> bool:
    """Accept the frame that says which channels the connection listens to. Raises `ConnectionError`."""
    if listener.reading.stream.app_id not in orjson.loads(payload)["connect"]["subs"]:
        raise ConnectionError(f"not connected: {payload!r}")
    return True


def _socketio_greeting(listener: Listener, payload: bytes) -> bool:
    """Answer the opening of Engine.IO, then wait for that of Socket.IO."""
    if payload.startswith(b"0"):
        listener.write(b"40")
    return payload.startswith(b"40")
