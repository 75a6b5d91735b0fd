"""The limits of connections, on a server of their own, by raw sockets: what a careful client never does."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from imc_service.auth.settings import AccessSettings
from imc_service.http import replies
from imc_service.http.guard.addresses import Presence, Proxies, address_key
from imc_service.http.guard.options import guarded
from imc_service.http.guard.rules import Guard
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import SettingsError, load
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

GET = "GET /livez HTTP/1.1\r\nHost: imc.test\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


class Peer:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))
        await self.writer.drain()

    async def reply(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the next reply; status 0 if the connection ends."""
        try:
            head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return 0, {}, None
        status, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split()[1]), headers, json.loads(body) if body else None

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        return True


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):
        yield


def application() -> FastAPI:
    app = FastAPI()
    replies.install(app)
    app.state.going_on = asyncio.Event()

    @app.get("/livez")
    async def livez() -> str:
        return "alive"

    @app.get("/wait")
    async def wait() -> str:
        await app.state.going_on.wait()
        return "done"

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.websocket("/ws")
    async def connect(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(Exception):
            await websocket.receive_text()

    return app


Connect = Callable[[], Awaitable[Peer]]
Serve = Callable[..., contextlib.AbstractAsyncContextManager[tuple[FastAPI, Connect]]]


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncGenerator[tuple[FastAPI, Connect]]:
    app = application()
    app.state.registry = CollectorRegistry()
    options = guarded(GuardSettings.model_validate(settings), app.state.registry, WebSocketsSansIOProtocol)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **options)
    server, listener = _Server(config), socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await wait_until(lambda: server.started)
    peers: list[Peer] = []

    async def connect() -> Peer:
        peer = Peer(*await asyncio.open_connection(*listener.getsockname()))
        peers.append(peer)
        return peer

    try:
        app.state.connections = server.server_state.connections
        yield app, connect
    finally:
        app.state.going_on.set()
        for peer in peers:
            peer.writer.close()
        server.should_exit = True
        await running


async def test_headers_that_do_not_come_are_not_waited_for() -> None:
    async with serving(header_seconds=0.2) as (_, connect):
        silent, slow, second = await connect(), await connect(), await connect()
        await slow.send("GET /livez HT")
        await second.send(GET + "\r\n" + "GET /livez HTTP/1.1\r\n")
        assert (await second.reply())[0] == 200
        for peer in (silent, slow, second):
            status, headers, body = await peer.reply()
            assert (status, body["code"], headers["connection"]) == (408, 40801, "close")
            assert await peer.is_closed()


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with serving(body_seconds=0.2) as (_, connect):
        peer = await connect()
        await peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfour")
        status, _, body = await peer.reply()
        assert (status, body["code"]) == (408, 40801)
        assert await peer.is_closed()


async def test_a_reply_that_is_not_taken_is_given_up() -> None:
    async with serving(body_seconds=0.2) as (app, connect):

        @app.get("/much")
        async def much() -> str:
            app.state.going_on.set()
            return "x" * 50_000_000

        peer = await connect()
        await peer.send("GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
        await app.state.going_on.wait()
        assert app.state.connections
        # Nothing of it is read.
        await wait_until(lambda: not app.state.connections, what="the end of the connection")


@pytest.mark.parametrize("pieces", [1, 50])
async def test_headers_have_a_limit_however_they_come(pieces: int) -> None:
    async with serving(max_header_bytes=2000) as (_, connect):
        fitting, large, endless = await connect(), await connect(), await connect()
        await fitting.send(GET + f"X: {'x' * 1900}\r\n\r\n")
        assert (await fitting.reply())[0] == 200
        await fitting.send(GET + f"X: {'x' * 1900}\r\n\r\n")
        assert (await fitting.reply())[0] == 200
        text = GET + f"X: {'x' * 2100}\r\n\r\n"
        step = len(text) // pieces
        for at in range(0, len(text), step):
            with contextlib.suppress(ConnectionError):
                await large.send(text[at : at + step])
            await asyncio.sleep(0)
        status, _, body = await large.reply()
        assert (status, body["code"]) == (431, 43101)
        await endless.send("GET /" + "x" * 3000)
        assert (await endless.reply())[0] == 431
        assert await endless.is_closed()


async def test_what_is_no_http_is_answered_in_the_envelope() -> None:
    async with serving() as (_, connect):
        for text in ("\x16\x03\x01\x02\x00\x01\x00", "hello\r\n\r\n", GET + "X Y: 1\r\n\r\n"):
            peer = await connect()
            await peer.send(text)
            status, headers, body = await peer.reply()
            assert (status, body["code"]) == (400, 40001)
            assert headers["content-type"] == "application/json"
            assert await peer.is_closed()


async def test_too_many_requests_at_once_are_told_to_come_again() -> None:
    async with serving(max_requests_in_flight=2) as (app, connect):
        waiting = [await connect(), await connect()]
        for peer in waiting:
            await peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        third = await connect()

        async def is_refused() -> bool:
            await third.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
            status, headers, body = await third.reply()
            return status == 503 and body["code"] == 50301 and int(headers["retry-after"]) >= 1

        await wait_until(is_refused)
        await third.send(GET + "\r\n")
        assert (await third.reply())[0] == 200
        app.state.going_on.set()
        assert [(await peer.reply())[0] for peer in waiting] == [200, 200]


async def test_an_address_has_so_many_connections() -> None:
    async with serving(max_connections_per_address=2) as (_, connect):
        one, two = await connect(), await connect()
        for peer in (one, two):
            await peer.send(GET + "\r\n")
            assert (await peer.reply())[0] == 200
        three = await connect()
        status, headers, body = await three.reply()
        assert (status, body["code"], headers["retry-after"]) == (503, 50301, "1")
        one.writer.close()

        async def is_let_in() -> bool:
            four = await connect()
            with contextlib.suppress(ConnectionError):
                await four.send(GET + "\r\n")
            return (await four.reply())[0] == 200

        await wait_until(is_let_in)


async def test_a_websocket_counts_until_it_ends() -> None:
    async with serving(max_connections_per_address=1) as (_, connect):
        socket = await connect()
        await socket.send("GET /ws HTTP/1.1\r\nHost: a\r\n" + UPGRADE + KEY + "\r\n")
        assert (await socket.reply())[0] == 101
        assert (await (await connect()).reply())[0] == 503
        socket.writer.close()

        async def is_let_in() -> bool:
            peer = await connect()
            with contextlib.suppress(ConnectionError):
                await peer.send(GET + "\r\n")
            return (await peer.reply())[0] == 200

        await wait_until(is_let_in)


async def test_a_proxy_counts_as_those_it_speaks_for() -> None:
    settings = {"max_connections_per_address": 1, "trusted_proxies": "127.0.0.0/8, 10.0.0.0/8"}
    async with serving(**settings) as (_, connect):

        async def handshake(forwarded: str) -> int:
            peer = await connect()
            headers = f"Host: a\r\nX-Forwarded-For: {forwarded}\r\n"
            await peer.send(f"GET /ws HTTP/1.1\r\n{headers}{UPGRADE}{KEY}\r\n")
            return (await peer.reply())[0]

        assert await handshake("192.0.2.1") == 101
        assert await handshake("192.0.2.2, 10.1.2.3") == 101
        # What a client wrote itself stands before the address that the proxy saw.
        assert await handshake("198.51.100.7, 192.0.2.1") == 503
        assert await handshake("192.0.2.2") == 503
        for text in ("192.0.2.1:5001", "192.0.2.1:5002", '"192.0.2.1"', "::ffff:192.0.2.1"):
            assert await handshake(text) == 503, text
        for text in ("[::ffff:c000:201]:443", "x\r\nX-Forwarded-For: 192.0.2.1:1", "192.0.2.1, 10.1.2.3:99"):
            assert await handshake(text) == 503, text
        assert await handshake("[2001:db8::1]:5001") == 101
        for text in ("2001:db8::1", "2001:db8:0:0:1::9", '"[2001:DB8::2]:7"', "[2001:db8::3%25eth0]"):
            assert await handshake(text) == 503, text
        assert await handshake("[2001:db8:0:1::1]:5001") == 101
        peer = await connect()
        for _ in range(3):
            await peer.send(GET + "X-Forwarded-For: 192.0.2.3\r\n\r\n")
            assert (await peer.reply())[0] == 200


@pytest.mark.parametrize(
    ("origin", "allowed", "is_welcome"),
    [
        (None, "", True),
        ("http://imc.test", "", True),
        ("https://IMC.test", "", True),
        ("http://evil.test", "", False),
        ("http://imc.test.evil.test", "", False),
        ("http://imc.test:8080", "", False),
        ("null", "", False),
        ("", "", False),
        ("http://page.test", "http://page.test, https://other.test:8443", True),
        ("https://other.test:8443", "http://page.test, https://other.test:8443", True),
        ("https://page.test", "http://page.test", False),
        ("http://evil.test", "*", True),
        ("http://imc.test\r\nOrigin: http://evil.test", "", False),
        ("imc.test", "", True),
        ("imc.test:80", "", True),
        ("imc.test:443", "", True),
        ("imc.test:8080", "", False),
        ("HTTPS://imc.test:443", "", True),
        ("http://imc.test:80", "", True),
        ("https://imc.test:80", "", False),
        ("http://imc.test.", "", True),
        ("http://imc.test/", "", True),
        ("evil.test", "", False),
        ("file://", "", False),
        ("ftp://imc.test", "", False),
        ("http://imc.test@evil.test", "", False),
        ("http://imc.test:80:80", "", False),
        ("null", "null", True),
        ("http://PAGE.test:80", "http://page.test", True),
        ("page.test", "http://page.test", True),
        ("page.test:8443", "https://page.test:8443", True),
        ("http://[2001:DB8:0::1]", "http://[2001:db8::1]:80", True),
        ("http://[2001:db8::2]", "http://[2001:db8::1]:80", False),
    ],
)
async def test_pages_of_foreign_origins_are_kept_out(
    origin: str | None, allowed: str, is_welcome: bool
) -> None:
    async with serving(allowed_origins=allowed) as (_, connect):
        header = "" if origin is None else f"Origin: {origin}\r\n"
        peer = await connect()
        await peer.send(f"POST /echo HTTP/1.1\r\nHost: imc.test\r\nContent-Length: 2\r\n{header}\r\nab")
        status, _, body = await peer.reply()
        assert (status, body["code"] if status != 200 else 0) == ((200, 0) if is_welcome else (403, 40301))
        socket = await connect()
        await socket.send("GET /ws HTTP/1.1\r\nHost: imc.test\r\n" + header + UPGRADE + KEY + "\r\n")
        assert (await socket.reply())[0] == (101 if is_welcome else 403)


@pytest.mark.parametrize(
    ("host", "origin", "is_welcome"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1", False),
        ("127.0.0.1:8000", "http://localhost:8000", False),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("[::1]:8000", "[0:0:0:0:0:0:0:1]:8000", True),
        ("[::1]:8000", "http://[::1]:8001", False),
        ("imc.test:443", "https://imc.test", True),
        ("imc.test:80", "https://imc.test", False),
        ("IMC.test:8000", "http://imc.TEST:8000", True),
        ("inside:8001\r\nX-Forwarded-Host: imc.test", "https://imc.test", True),
        ("inside:8001\r\nX-Forwarded-Host: imc.test", "https://evil.test", False),
    ],
)
async def test_an_origin_is_its_own_however_it_is_written(host: str, origin: str, is_welcome: bool) -> None:
    async with serving(trusted_proxies="127.0.0.1") as (_, connect):
        peer = await connect()
        await peer.send(f"GET /livez HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n")
        assert (await peer.reply())[0] == (200 if is_welcome else 403)
        target = f"http://{host.partition(chr(13))[0]}/livez" if is_welcome else "http://other.test/livez"
        if "X-Forwarded" not in host:  # the host of a target replaces that of the header
            await peer.send(f"GET {target} HTTP/1.1\r\nHost: b\r\nOrigin: {origin}\r\n\r\n")
            assert (await peer.reply())[0] == (200 if is_welcome else 403)


async def test_only_a_trusted_proxy_tells_the_host_it_was_asked_for() -> None:
    async with serving() as (_, connect):
        peer = await connect()
        await peer.send(GET + "X-Forwarded-Host: evil.test\r\nOrigin: http://evil.test\r\n\r\n")
        assert (await peer.reply())[0] == 403


@pytest.mark.parametrize(
    ("auth", "allowed", "is_welcome"),
    [("off", "", False), ("jwt", "", True), ("jwt", "http://page.test", False), ("jwt", "*", True)],
)
async def test_where_tokens_are_asked_for_origins_are_looked_at_only_if_some_are_listed(
    auth: str, allowed: str, is_welcome: bool
) -> None:
    """A page has no token of its user that it could not as well use from anywhere else."""

    class Settings(AccessSettings, GuardSettings):
        port: int = 1

    environment = {"IMC_AUTH": auth, "IMC_JWT_SECRET": "s" * 32, "IMC_ALLOWED_ORIGINS": allowed}
    guard = Guard(load(Settings, environment), CollectorRegistry())
    headers = [(b"host", b"imc.test"), (b"origin", b"http://evil.test")]
    assert (guard.refuses_origin(headers, None, is_proxied=False) is None) is is_welcome


async def test_what_is_refused_is_counted_by_its_status() -> None:
    async with serving(max_header_bytes=1024) as (app, connect):
        evil = "Host: imc.test\r\nOrigin: http://evil.test\r\n"
        for head in (
            f"GET /livez HTTP/1.1\r\n{evil}",
            f"GET /ws HTTP/1.1\r\n{evil}{UPGRADE}{KEY}",
            f"{GET}X: {'x' * 2000}\r\n",
            GET,
        ):
            peer = await connect()
            await peer.send(head + "\r\n")
            await peer.reply()
        registry: CollectorRegistry = app.state.registry
        counted = {
            status: registry.get_sample_value("imc_guard_refusals_total", {"status": status})
            for status in ("200", "403", "431")
        }
        assert counted == {"200": None, "403": 2, "431": 1}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMC_ALLOWED_ORIGINS", "page.test"),
        ("IMC_ALLOWED_ORIGINS", "https://page.test/path"),
        ("IMC_TRUSTED_PROXIES", "10.0.0.0/8,proxy.test"),
        ("IMC_MAX_HEADER_BYTES", "10"),
        ("IMC_HEADER_SECONDS", "0"),
    ],
)
def test_settings_that_can_not_be_meant_stop_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(GuardSettings, {name: value})


def test_addresses_are_forgotten_when_they_leave() -> None:
    presence = Presence(2)
    assert [presence.enter("a"), presence.enter("a"), presence.enter("a"), presence.enter("b")] == [
        True,
        True,
        False,
        True,
    ]
    for address in ("a", "b", "a"):
        presence.leave(address)
    assert not presence._present


def test_an_address_of_six_that_stands_for_one_of_four_is_that_one() -> None:
    proxies = Proxies(["10.0.0.0/8", "fd00::/8"])
    assert "::ffff:10.1.1.1" in proxies
    assert "fd00::1" in proxies
    assert "10.1.1.1:80" in proxies
    assert "10.1.1.1.evil" not in proxies
    assert address_key("::ffff:192.0.2.1") == address_key("192.0.2.1")
    assert address_key("fe80::1%eth0") == address_key("fe80::2")
    assert proxies.client_of([(b"x-forwarded-for", b"x" * 5000)], "10.0.0.1") == "x" * 64
    assert proxies.client_of([], "10.0.0.1") == "10.0.0.1"
