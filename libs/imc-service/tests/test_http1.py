"""HTTP/1.1 at the socket: what a client may do that is seldom done, and what nobody should get away with."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.http.bodies import BodyRoom, read_body
from imc_service.http.guard.options import guarded
from imc_service.http.guard.settings import GuardSettings
from imc_service.http.server import _Server  # pyright: ignore[reportPrivateUsage]
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HOST = b"Host: h\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
WEBSOCKET = b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + KEY
SECOND = b"GET /hot/seen?smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
"""A body that is a request itself."""


def hot_routes(going_on: asyncio.Event, seen: list[str]) -> APIRouter:
    router = APIRouter()

    @router.post("/chat/hot")
    @router.post("/hot/echo")
    async def echo(request: Request) -> Response:
        return replies.success((await read_body(request, 10_000_000, BodyRoom(100_000_000))).decode())

    @router.get("/hot/seen")
    async def see(request: Request) -> Response:
        seen.append(request.scope["query_string"].decode())
        return replies.success(request.scope["query_string"].decode())

    @router.get("/hot/wait")
    async def wait(_request: Request) -> Response:
        await going_on.wait()
        return replies.success("waited")

    return router


def cold_routes(going_on: asyncio.Event) -> APIRouter:
    router = APIRouter()

    @router.post("/chat/echo")
    @router.post("/cold/echo")
    async def echo(request: Request) -> Response:
        return replies.success((await read_body(request, 10_000_000, BodyRoom(100_000_000))).decode())

    @router.get("/wait")
    async def wait(_request: Request) -> Response:
        await going_on.wait()
        return replies.success("waited")

    @router.get("/much")
    async def much(_request: Request) -> Response:
        return replies.success("x" * 50_000)

    @router.get("/id/{value:path}")
    async def tell(value: str) -> Response:
        return replies.success(value)

    @router.websocket("/ws/{value:path}")
    async def connect(websocket: WebSocket) -> None:
        await websocket.accept()
        with contextlib.suppress(Exception):
            await websocket.receive_text()

    return router


@dataclass
class Served:
    """A process's server, in the test."""

    address: tuple[str, int]
    going_on: asyncio.Event
    seen: list[str]
    state: Any

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def talk(self, *parts: bytes, half_closes: bool = True) -> "list[Reply]":
        """All replies to the parts, up to the end of the connection; each part is read before the next."""
        reader, writer = await self.open()
        answered = bytearray()

        async def listen() -> None:
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(65_536):
                    answered.extend(part)

        listening = asyncio.create_task(listen())
        with contextlib.suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)  # parts of one request: nothing tells when they were read
            if half_closes:
                writer.write_eof()
        await asyncio.wait_for(listening, 20)
        writer.close()
        return split(bytes(answered))


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        envelope = json.loads(self.body)
        assert set(envelope) == {"success", "code", "message", "data"}
        assert self.headers["content-type"] == "application/json"
        return envelope["code"]

    @property
    def data(self) -> Any:
        assert (self.status, self.code) == (200, 0), self.body
        return json.loads(self.body)["data"]


def split(answered: bytes, *, to_head: bool = False) -> list[Reply]:
    """The replies in what was answered; none of them has a body if all are to HEAD."""
    found: list[Reply] = []
    while answered:
        head, _, answered = answered.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        size = 0 if to_head else int(headers.get("content-length", 0))
        found.append(Reply(int(status.split()[1]), headers, answered[:size]))
        answered = answered[size:]
    return found


@contextlib.asynccontextmanager
async def serving(*, websockets: bool = True, **settings: Any) -> AsyncGenerator[Served]:
    going_on, seen = asyncio.Event(), list[str]()
    registry = CollectorRegistry()
    hot = [hot_routes(going_on, seen)]
    app = assemble(FastAPI(), Readiness(), registry, *hot, cold_routes(going_on), hot=hot)
    options = guarded(
        GuardSettings.model_validate(settings), registry, WebSocketsSansIOProtocol if websockets else None
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=1,
        timeout_graceful_shutdown=1,
        **options,
    )
    server, listener = _Server(config, None), socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await wait_until(lambda: server.started)
    try:
        yield Served(listener.getsockname(), going_on, seen, server.server_state)
    finally:
        going_on.set()
        server.end()
        await running


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in (*headers, b"Content-Length: %d" % len(body)))
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path, HOST, lines, body)


def chunked(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in (*headers, b"Transfer-Encoding: chunked"))
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (path, HOST, lines, len(body), body)


def cuts(request: bytes) -> list[tuple[bytes, ...]]:
    """The request in one piece, cut behind its head, within its head, and within its body."""
    head = request.index(b"\r\n\r\n") + 4
    return [
        (request,),
        (request[:head], request[head:]),
        (request[: head // 2], request[head // 2 :]),
        (request[: head + 3], request[head + 3 :]),
        (request[:head], request[head:-1], request[-1:]),
    ]


FOREIGN = [
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    (b"Connection: upgrade", b"Upgrade: TLS/1.0"),
    (b"Connection: Upgrade", b"Upgrade: something, h2c/1.2, HTTP/3.0"),
    (b"Connection: Upgrade", b"Upgrade: h2c", b"Upgrade: IRC/6.9"),
    (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"),
    (b"Connection: Upgrade", b"Upgrade: h2c, websocket"),
    (b"Connection: Upgrade", b"Upgrade: WebSocket", *KEY.rstrip().split(b"\r\n")),
    (b"Connection: Upgrade", b"Upgrade:"),
    (b"Upgrade: h2c",),
    (b"Upgrade: websocket",),
]


@pytest.mark.parametrize("websockets", [True, False])
@pytest.mark.parametrize("path", [b"/hot/echo", b"/cold/echo"])
async def test_a_foreign_upgrade_is_as_if_it_were_not_there(path: bytes, websockets: bool) -> None:
    async with serving(websockets=websockets) as served:
        expecting = b"Expect: 100-continue"
        requests = [
            make(path, SECOND, *headers, *more)
            for headers in FOREIGN
            for make in (post, chunked)
            for more in ((), (expecting,))
        ]
        talks = [parts for request in requests for parts in cuts(request)]
        answers = await asyncio.gather(
            *(served.talk(*parts[:-1], parts[-1] + SECOND.replace(b"smuggled", b"next")) for parts in talks)
        )
        for parts, answered in zip(talks, answers, strict=True):
            replies_to = [reply for reply in answered if reply.status != 100]
            assert [reply.data for reply in replies_to] == [SECOND.decode(), "next"], parts
            assert "upgrade" not in replies_to[0].headers
        assert set(served.seen) == {"next"}


async def test_where_there_are_no_websockets_their_upgrade_is_not_there_either() -> None:
    async with serving(websockets=False) as served:
        request = b"GET /hot/seen?a HTTP/1.1\r\n" + HOST + WEBSOCKET + b"\r\n"
        assert [reply.data for reply in await served.talk(request)] == ["a"]
        request = b"GET /ws/a HTTP/1.1\r\n" + HOST + WEBSOCKET + b"\r\n"
        assert [(reply.status, reply.code) for reply in await served.talk(request)] == [(404, 40400)]


@pytest.mark.parametrize(
    "lines",
    [
        WEBSOCKET,
        WEBSOCKET.replace(b"websocket", b"WebSocket").replace(b"Upgrade\r\n", b"keep-alive, UPGRADE\r\n"),
        WEBSOCKET.replace(b"websocket", b"h2c, websocket"),
        b"Upgrade: h2c\r\n" + WEBSOCKET,
        b"Content-Length: 0\r\n" + WEBSOCKET,
    ],
)
async def test_a_handshake_of_websockets_switches(lines: bytes) -> None:
    async with serving() as served:
        reader, writer = await served.open()
        # Behind another request, whose reply is not to be lost.
        writer.write(
            b"GET /hot/seen?before HTTP/1.1\r\n"
            + HOST
            + b"\r\nGET /ws/a HTTP/1.1\r\n"
            + HOST
            + lines
            + b"\r\n"
        )
        assert b'"before"' in await asyncio.wait_for(reader.readuntil(b"}"), 10)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 101 ")
        writer.close()


@pytest.mark.parametrize(
    ("lines", "status", "code"),
    [
        (WEBSOCKET.replace(KEY, b""), 400, 40001),
        (WEBSOCKET.replace(b"dGhl", b"!!!!"), 400, 40001),
        (WEBSOCKET.replace(b"Version: 13", b"Version: 7"), 400, 40001),
        (WEBSOCKET + KEY, 400, 40001),
        (WEBSOCKET + b'Sec-WebSocket-Extensions: permessage-deflate; x="\r\n', 400, 40001),
        (WEBSOCKET + b"".join(b"X-%d: 1\r\n" % each for each in range(130)), 431, 43101),
        (WEBSOCKET + b"X: " + b"x" * 9000 + b"\r\n", 431, 43101),
        (WEBSOCKET + b"Origin: http://evil.test\r\n", 403, 40301),
    ],
)
async def test_a_handshake_that_is_none_is_told_why_in_the_envelope(
    lines: bytes, status: int, code: int
) -> None:
    async with serving() as served:
        [reply] = await served.talk(b"GET /ws/a HTTP/1.1\r\n" + HOST + lines + b"\r\n", half_closes=False)
        assert (reply.status, reply.code, reply.headers["connection"]) == (status, code, "close")


async def test_a_websocket_on_an_unknown_path_and_one_that_does_not_wait() -> None:
    async with serving() as served:
        head = b"GET /nowhere HTTP/1.1\r\n" + HOST + WEBSOCKET + b"\r\n"
        [reply] = await served.talk(head, half_closes=False)
        assert (reply.status, reply.code) == (404, 40400)
        early = head.replace(b"/nowhere", b"/ws/a") + b"\x81\x80abcd"
        [reply] = await served.talk(early, half_closes=False)
        assert (reply.status, reply.code) == (400, 40001)


async def test_a_client_that_closes_its_side_is_answered() -> None:
    async with serving(body_seconds=5, header_seconds=5) as served:
        for request in (
            post(b"/hot/echo", b"body"),
            post(b"/cold/echo", b"body"),
            chunked(b"/hot/echo", b"body"),
        ):
            for parts in cuts(request):
                assert [reply.data for reply in await served.talk(*parts)] == ["body"], parts
                many = await served.talk(request * 3, *parts)
                assert [reply.data for reply in many] == ["body"] * 4, parts
        for path in (b"/wait", b"/hot/wait"):
            talking = asyncio.create_task(served.talk(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST) + SECOND))
            await wait_until(lambda: served.state.tasks)
            served.going_on.set()
            assert [reply.data for reply in await talking] == ["waited", "smuggled"]
            served.going_on.clear()
        await wait_until(lambda: not served.state.connections, 4)


async def test_a_thousand_requests_in_one_write_are_all_answered_in_their_order() -> None:
    async with serving() as served:
        requests = b"".join(b"GET /hot/seen?%d HTTP/1.1\r\n%b\r\n" % (each, HOST) for each in range(1000))
        assert [reply.data for reply in await served.talk(requests)] == [str(each) for each in range(1000)]
        assert served.seen == [str(each) for each in range(1000)]


async def test_a_request_that_is_cut_off_is_told_so() -> None:
    async with serving(body_seconds=5, header_seconds=5) as served:
        whole = post(b"/hot/echo", b"body")
        for request in (whole, chunked(b"/cold/echo", b"body")):
            for cut in (5, request.index(b"\r\n\r\n"), len(request) - 2):
                [reply] = await served.talk(request[:cut])
                assert (reply.status, reply.code, reply.headers["connection"]) == (400, 40001, "close"), cut
        answered, refused = await served.talk(whole + whole[:20])
        assert (answered.data, refused.status, refused.code) == ("body", 400, 40001)
        assert await served.talk() == []
        assert await served.talk(b"\r\n\r\n") == []


async def test_what_can_not_be_read_is_told_after_what_could() -> None:
    async with serving() as served:
        for nonsense in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX Y: 1\r\n\r\n", b"\x16\x03\x01"):
            slow = b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n"
            talking = asyncio.create_task(served.talk(slow + SECOND + nonsense, half_closes=False))
            await wait_until(lambda: served.state.tasks)
            served.going_on.set()
            first, second, third = await talking
            assert (first.data, second.data) == ("waited", "smuggled")
            assert (third.status, third.code, third.headers["connection"]) == (400, 40001, "close")
            served.going_on.clear()


GET = b"GET /hot/seen HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 40001),
        (b"GET /hot/seen\r\n\r\n", 400, 40001),
        (b"GET /hot/seen HTTP/2.0\r\n" + HOST + b"\r\n", 400, 40001),
        (b"GET /hot/seen HTTP/9.9\r\n\r\n", 400, 40001),
        (b"CONNECT h:1 HTTP/1.1\r\n" + HOST + b"\r\nabc", 405, 40500),
        (b"TRACE /hot/seen HTTP/1.1\r\n" + HOST + b"\r\n", 405, 40500),
        (b"OPTIONS /hot/seen HTTP/1.1\r\n" + HOST + b"\r\n", 405, 40500),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404, 40400),
        (b"GET ftp://h/hot/seen HTTP/1.1\r\n" + HOST + b"\r\n", 404, 40400),
        (GET + b"A: b\r\n folded\r\n\r\n", 400, 40001),
        (GET + b"A : b\r\n\r\n", 400, 40001),
        (GET + b"Host: other\r\n\r\n", 400, 40001),
        (GET + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, 40001),
        (GET + b"Content-Length: -1\r\n\r\n", 400, 40001),
        (GET + b"Content-Length: 0x3\r\n\r\nabc", 400, 40001),
        (GET + b"Content-Length: 3, 3\r\n\r\nabc", 400, 40001),
        (GET + b"Content-Length: 99999999999999999999999\r\n\r\n", 400, 40001),
        (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, 40001),
        (GET + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, 40001),
        (GET + b"Transfer-Encoding: gzip\r\n\r\n", 400, 40001),
        (GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, 40001),
        (GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\nTransfer-Encoding: xchunked\r\n\r\n", 400, 40001),
    ],
)
async def test_whatever_is_refused_is_refused_in_the_envelope(
    request_: bytes, status: int, code: int
) -> None:
    async with serving() as served:
        [reply] = await served.talk(request_)
        assert (reply.status, reply.code) == (status, code)


async def test_no_path_is_redirected() -> None:
    proto = b"X-Forwarded-Proto: https"
    async with serving() as served:
        for path in (b"/hot/echo/", b"/cold/echo/", b"/cold/echo%2F", b"/livez/", b"//", b"/v1/x/"):
            [reply] = await served.talk(post(path, b"x", proto))
            assert (reply.status, reply.code) == (404, 40400), path


JAVA = b"POST /chat/echo HTTP/1.1\r\n" + HOST


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (JAVA + b"Host: other\r\n\r\n", 400),
        (JAVA + b"Content-Length: -1\r\n\r\n", 400),
        (JAVA + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (JAVA + b"Content-Length: 9\r\n\r\ncut", 400),
        (JAVA.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n", 400),
        (b"GET /chat/%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET http://h/notice/%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /notice/x?a=%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (
            b"GET /chat/echo HTTP/1.1\r\n"
            + HOST
            + WEBSOCKET.replace(b"Version: 13", b"Version: 1")
            + b"\r\n",
            400,
        ),
        (post(b"/chat/", b"x"), 404),
        (post(b"/chat/nowhere/", b"x"), 404),
        (post(b"/chat/echo//", b"x"), 404),
        (post(b"/chat/echo%2F", b"x"), 404),
        (post(b"http://h/notice/nowhere", b"x"), 404),
        (JAVA.replace(b"POST", b"GET") + b"\r\n", 405),
        (JAVA.replace(b"POST", b"TRACE") + b"\r\n", 405),
        (JAVA + b"Content-Length: 10000001\r\n\r\n", 413),
        (JAVA + b"A: " + b"x" * 20_000 + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_refused_on_the_java_door_has_its_code(request_: bytes, status: int) -> None:
    async with serving(max_header_bytes=16_384) as served:
        [reply] = await served.talk(request_)
        assert (reply.status, reply.code) == (status, -1)


@pytest.mark.parametrize("rest", [b"", b"Content-Length: 9\r\n\r\nx"])
async def test_who_is_slow_on_the_java_door_is_told_its_code(rest: bytes) -> None:
    async with serving(header_seconds=0.2, body_seconds=0.2) as served:
        [reply] = await served.talk(JAVA + rest, half_closes=False)
        assert (reply.status, reply.code) == (408, -1)


async def test_a_path_of_the_java_door_may_end_in_a_slash() -> None:
    async with serving() as served:
        for path in (b"/chat/echo", b"/chat/echo/", b"/chat/hot/", b"http://h/chat/echo/"):
            [reply] = await served.talk(post(path, b"x", b"X-Forwarded-Proto: https"))
            assert reply.data == "x", path


async def test_a_head_is_a_get_without_the_body() -> None:
    async with serving() as served:
        for path in (b"/hot/seen?a", b"/livez", b"/readyz", b"/much", b"/nowhere", b"/id/%C4%E3"):
            reader, writer = await served.open()
            request = b"HEAD %b HTTP/1.1\r\n%b\r\n" % (path, HOST)
            writer.write(request + request)
            writer.write_eof()
            heads = split(await asyncio.wait_for(reader.read(), 10), to_head=True)
            writer.close()
            [got] = await served.talk(request.replace(b"HEAD", b"GET"))
            assert [head.status for head in heads] == [got.status] * 2, path
            assert {head.headers["content-length"] for head in heads} == {str(len(got.body))}, path
        [reply] = await served.talk(b"HEAD /hot/echo HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (reply.status, reply.headers["allow"]) == (405, "POST")


TARGETS = {
    b"/hot/seen?groupId=%C4%E3%BA%C3": "groupId",
    b"/hot/seen?a=1&groupId=%ff": "groupId",
    b"/hot/seen?groupId=%c0%af": "groupId",
    b"/hot/seen?groupId=%ed%a0%80": "groupId",
    b"/hot/seen?groupId=%e4%bd": "groupId",
    b"/hot/seen?groupId=%A": "groupId",
    b"/hot/seen?groupId=%": "groupId",
    b"/hot/seen?groupId=%zz": "groupId",
    b"/hot/seen?groupId=%u4f60": "groupId",
    b"/hot/seen?%C4%E3=1": "name",
    b"/id/%C4%E3": "path",
    b"/id/a%2": "path",
    b"/id/%f5%80%80%80": "path",
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.decode())
async def test_escapes_that_are_not_utf8_are_refused_and_the_connection_stays(target: bytes) -> None:
    async with serving() as served:
        for request in (
            b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST),
            post(target, SECOND),
            b"GET http://h%b HTTP/1.1\r\n%b\r\n" % (target, HOST),
        ):
            refused, good = await served.talk(request + SECOND.replace(b"smuggled", b"next"))
            assert (refused.status, refused.code) == (400, 40001)
            assert TARGETS[target] in json.loads(refused.body)["message"]
            assert good.data == "next"
        socket_target = target.replace(b"/hot/seen", b"/ws/a").replace(b"/id/", b"/ws/")
        [reply] = await served.talk(b"GET %b HTTP/1.1\r\n%b%b\r\n" % (socket_target, HOST, WEBSOCKET))
        assert (reply.status, reply.code) == (400, 40001)
        assert served.seen == ["next"] * 3


async def test_escapes_of_utf8_are_read_and_bytes_that_are_not_ascii_are_not() -> None:
    async with serving() as served:
        [reply] = await served.talk(b"GET /id/%E4%BD%A0%2f%00%F0%9F%99%82+%2B HTTP/1.1\r\n" + HOST + b"\r\n")
        assert reply.data == "你/\0🙂++"
        [reply] = await served.talk(b"GET /hot/seen?a=%E4%BD%A0&b+c=%25 HTTP/1.1\r\n" + HOST + b"\r\n")
        assert reply.data == "a=%E4%BD%A0&b+c=%25"
        for target in ("/id/你".encode(), "/hot/seen?groupId=你".encode("gbk"), b"/hot/seen?a=\xff"):
            [reply] = await served.talk(b"GET %b HTTP/1.1\r\n%b\r\n" % (target, HOST))
            assert (reply.status, reply.code) == (400, 40001)


async def drip(served: Served, first: bytes, drop: bytes) -> list[Reply]:
    """What is answered to ``first``, and ``drop`` again and again until the connection ends."""
    reader, writer = await served.open()
    reading = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        writer.write(first)
        async with asyncio.timeout(20):
            while not reading.done():
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.05)  # a client that takes its time, on purpose
    with contextlib.suppress(ConnectionError):
        answered = await reading
        writer.close()
        return split(answered)
    return []


@pytest.mark.parametrize(
    ("first", "drop", "statuses"),
    [
        (b"", b"\r\n", [408]),
        (SECOND, b"\r\n", [200]),
        (SECOND, b"\r", [200]),
        (b"G", b"E", [400]),
        (b"GET /", b"x", [408]),
        (SECOND + b"GET /", b"x", [200, 408]),
        (GET, b"X: y\r\n", [408]),
        (GET + b"X: ", b"y", [408]),
        (GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"X: y\r\n", [408]),
        (b"POST /cold/echo HTTP/1.1\r\nContent-Length: 9999\r\n\r\n", b"x", [408]),
        (b"POST /hot/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", [408]),
        (b"POST /hot/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"T: x\r\n", [408]),
        (b"POST /hot/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1", b";x", [408]),
        (b"POST /livez HTTP/1.1\r\nContent-Length: 9999\r\n\r\n", b"x", [405]),
        (
            b"POST /hot/echo HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 99\r\n\r\n",
            b"\r\n",
            [408],
        ),
    ],
)
async def test_no_client_puts_a_deadline_off_by_sending_a_little(
    first: bytes, drop: bytes, statuses: list[int]
) -> None:
    async with serving(header_seconds=0.5, body_seconds=0.5) as served:
        answered = await drip(served, first, drop)
        assert [reply.status for reply in answered] == statuses
        await wait_until(lambda: not served.state.connections)


async def test_a_body_waits_for_its_client_no_longer_for_being_read_in_bits() -> None:
    """What is over the bound of what waits for the application pauses reading: that gives no new time."""
    async with serving(body_seconds=0.5) as served:
        head = b"POST /cold/echo HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n"
        answered = await drip(served, head, b"x" * 100_000)
        assert [reply.status for reply in answered] in ([408], [])  # lost, perhaps, with what still comes
        await wait_until(lambda: not served.state.connections)


async def test_a_reply_that_is_not_taken_keeps_no_connection() -> None:
    """Less than what fills the buffers of the process, but not of the kernel: nothing is paused by it."""
    async with serving(body_seconds=0.5) as served:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, served.address)
        [protocol] = await wait_until(lambda: list(served.state.connections))
        server_side: socket.socket = protocol._transport.get_extra_info("socket")
        server_side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(b"GET /much HTTP/1.1\r\nConnection: close\r\n\r\n")
        await wait_until(lambda: not served.state.connections, what="the end of the connection")
        client.close()


async def test_fields_behind_a_body_are_no_headers_and_have_a_limit() -> None:
    async with serving(max_header_bytes=2000) as served:
        head = b"POST /hot/echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
        [reply] = await served.talk(head + b"1\r\nx\r\n0\r\nContent-Type: text/plain\r\nOrigin: x\r\n\r\n")
        assert reply.data == "x"
        for endless in (b"0\r\nT: " + b"x" * 20_000, b"1;" + b"x" * 20_000, b"0\r\n" + b"T: x\r\n" * 4000):
            [reply] = await served.talk(head + endless, half_closes=False)
            assert (reply.status, reply.code) == (431, 43101)
        tiny = b"1\r\nx\r\n" * 5000
        assert [reply.data for reply in await served.talk(head + tiny + b"0\r\n\r\n")] == ["x" * 5000]


async def test_a_process_that_ends_answers_who_has_asked() -> None:
    async with serving() as served:
        talking = asyncio.create_task(
            served.talk(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + SECOND, half_closes=False)
        )
        idle = await served.open()
        await wait_until(lambda: served.state.tasks and len(served.state.connections) == 2)
        for protocol in list(served.state.connections):
            protocol.shutdown()
        assert await asyncio.wait_for(idle[0].read(), 10) == b""
        served.going_on.set()
        assert [reply.data for reply in await talking] == ["waited", "smuggled"]
        assert re.fullmatch("close", (await talking)[-1].headers["connection"])
        idle[1].close()
