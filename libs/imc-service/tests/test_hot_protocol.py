"""Hot calls at the socket: whatever way a request comes, it is answered as FastAPI's own stack answers it."""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.http.bodies import BodyRoom, read_json_body
from imc_service.http.guard.options import guarded
from imc_service.http.guard.settings import GuardSettings
from imc_service.http.server import _Server  # pyright: ignore[reportPrivateUsage]
from imc_service.http1.exchange import Exchange
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

LIMIT = 1000
Address = tuple[str, int]


def routes(going_on: asyncio.Event) -> APIRouter:
    router = APIRouter(prefix="/hot")

    @router.post("/echo")
    async def echo(request: Request) -> Response:
        return replies.success((await read_json_body(request, LIMIT, BodyRoom(LIMIT))).decode())

    @router.get("/query")
    async def query(request: Request) -> Response:
        return replies.success([request.url.path, request.query_params.get("a"), dict(request.headers)])

    @router.get("/wait")
    async def wait(_request: Request) -> Response:
        await going_on.wait()
        return replies.success("waited")

    @router.get("/refused")
    async def refused(_request: Request) -> Response:
        raise Refused(ErrorCode.UNAVAILABLE, "not now", retry_after=3)

    @router.get("/fault")
    async def fault(_request: Request) -> Response:
        raise ZeroDivisionError

    return router


class Served:
    """A server of its own, with or without a hot path."""

    def __init__(self, *, is_hot: bool) -> None:
        self.going_on = asyncio.Event()
        self.registry = CollectorRegistry()
        router = routes(self.going_on)
        self.app = assemble(
            FastAPI(), Readiness(), self.registry, router, hot=[routes(self.going_on)] if is_hot else []
        )
        options = guarded(GuardSettings.model_validate({"body_seconds": 0.5}), self.registry)
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=1,
            **options,
        )
        self.server = _Server(config, None)
        self.address: Address = ("", 0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["Served"]:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        running = asyncio.create_task(self.server.serve(sockets=[listener]))
        await wait_until(lambda: self.server.started)
        try:
            yield self
        finally:
            self.going_on.set()
            self.server.end()
            await running

    async def talk(self, *parts: bytes) -> bytes:
        """All that is answered to the parts, each sent once the one before was read, until the hang-up."""
        reader, writer = await asyncio.open_connection(*self.address)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.02)  # parts of one request: nothing tells when they were read
        with contextlib.suppress(ConnectionResetError):
            answered = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return re.sub(rb"date: [^\r]+", b"date: now", answered)
        return b"reset"

    def counted(self) -> set[tuple[str, str, float]]:
        return {
            (sample.labels["path"], sample.labels["status"], sample.value)
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == "imc_http_requests_total"
        }


def request(line: str, *headers: str, body: bytes = b"", close: bool = True) -> bytes:
    fields = [*headers, *(["Connection: close"] if close else [])]
    if body:
        fields.append(f"Content-Length: {len(body)}")
    return "".join([f"{line}\r\nHost: h\r\n", *(f"{each}\r\n" for each in fields), "\r\n"]).encode() + body


JSON = "Content-Type: application/json"
ECHO = "POST /hot/echo HTTP/1.1"
LAST = request("GET /livez HTTP/1.1")
"""Ends a connection whose requests did not."""

WHOLE = [
    request(ECHO, JSON, body=b'{"a": "\xc3\xa9"}', close=False),
    request("GET /hot/query?a=%F0%9F%99%82&b HTTP/1.1", "X-A: 1", "X-A: 2", close=False),
    request("GET /hot/query HTTP/1.1", close=False),
    request("GET /hot/refused HTTP/1.1", close=False),
    request("GET /hot/query/ HTTP/1.1", close=False),
    request("GET /hot/%71uery?a=1 HTTP/1.1", close=False),
    request("GET http://h/hot/query?a=1 HTTP/1.1", close=False),
    request("HEAD /hot/query HTTP/1.1", close=False),
    request(ECHO, "Content-Type: text/plain", body=b"x", close=False),
    request(ECHO, JSON, body=b"x" * (LIMIT + 1), close=False),
    request(ECHO, JSON, "Transfer-Encoding: chunked", close=False) + b"3\r\nabc\r\n0\r\n\r\n",
    request(ECHO, JSON, "Expect: 100-continue", body=b"x", close=False),
    request("GET /hot/query HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade", close=False),
    request("GET /hot/query HTTP/1.1", "X-Request-ID: of-ann", close=False),
    request("GET /hot/query HTTP/1.1", "X-Request-Id: of ann", "X-REQUEST-ID: a", close=False),
    request("GET /hot/refused HTTP/1.1", "X-Request-Id: of-bob", close=False),
]
CONVERSATIONS: list[tuple[bytes, ...]] = [
    *((each + LAST,) for each in WHOLE),
    *((each, LAST) for each in WHOLE),
    *((each[:-1], each[-1:] + LAST) for each in WHOLE),
    *((each[: each.index(b"\r\n\r\n") + 4], each[each.index(b"\r\n\r\n") + 4 :] + LAST) for each in WHOLE),
    (b"".join(WHOLE[:5]) * 3 + LAST,),
    (request("GET /hot/query HTTP/1.1"),),
    (request("GET /hot/query HTTP/1.0", close=False),),
    (request("GET /hot/query HTTP/1.0", "Connection: keep-alive", close=False) + LAST,),
    (request(ECHO, JSON, "Content-Length: 5", close=False) + b"four",),
    (request(ECHO, "Content-Type: text/plain", "Content-Length: 5", close=False) + b"four",),
    (b"GET /hot/query HTTP/1.1\r\nHost: h\r\nbad header\r\n\r\n",),
    (request("GET /hot/query HTTP/1.1", close=False) + b"nonsense\r\n\r\n",),
]


async def test_every_conversation_goes_as_with_fastapi() -> None:
    async with Served(is_hot=True).running() as hot, Served(is_hot=False).running() as plain:
        on_hot = await asyncio.gather(*(hot.talk(*parts) for parts in CONVERSATIONS))
        on_plain = await asyncio.gather(*(plain.talk(*parts) for parts in CONVERSATIONS))
        for parts, answered, by_fastapi in zip(CONVERSATIONS, on_hot, on_plain, strict=True):
            assert answered == by_fastapi, parts
        assert hot.counted() == plain.counted()
    assert {reply[9:12] for reply in on_hot} >= {b"200", b"503", b"415", b"413", b"400", b"408"}


async def test_a_fault_is_told_as_fastapi_tells_it() -> None:
    fault = request("GET /hot/fault HTTP/1.1", "X-Request-Id: of-ann", close=False)
    async with Served(is_hot=True).running() as hot, Served(is_hot=False).running() as plain:
        answered, by_fastapi = await hot.talk(fault), await plain.talk(fault)
        assert answered.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nx-request-id: of-ann\r\n" in answered
        assert answered == by_fastapi
        assert hot.counted() == plain.counted() == {("/hot/fault", "500", 1)}


@pytest.mark.parametrize("path", ["fault", "query"])
async def test_a_reply_bears_an_id_where_one_was_given_or_needed(path: str) -> None:
    async with Served(is_hot=True).running() as hot, Served(is_hot=False).running() as plain:
        for served in (hot, plain):
            given = request(f"GET /hot/{path} HTTP/1.1", "X-Request-Id: of-ann", close=False)
            [echoed] = re.findall(rb"x-request-id: (\S+)", await served.talk(given + LAST))[-1:]
            assert echoed == b"of-ann"
            answered = await served.talk(request(f"GET /hot/{path} HTTP/1.1", close=False), LAST)
            made = re.findall(rb"\r\nx-request-id: (\S+)\r\n", answered)
            assert len(made) == (path == "fault")
            assert all(b"(request id %b)" % each in answered for each in made)


async def test_a_whole_request_is_answered_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = Exchange.run, list[Any]()

    async def run_and_note(exchange: Exchange, application: ASGIApp) -> None:
        asked.append(application)
        await run(exchange, application)

    monkeypatch.setattr(Exchange, "run", run_and_note)
    async with Served(is_hot=True).running() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(WHOLE[0])
        assert (await reader.read(65_536)).endswith(b'"data":"{\\"a\\": \\"\xc3\xa9\\"}"}')
        assert asked == []
        writer.write(WHOLE[4])
        await reader.readuntil(b"}")
        assert asked != []
        writer.close()


async def test_a_process_that_ends_lets_its_clients_go() -> None:
    async with Served(is_hot=True).running() as served:
        reader, writer = await asyncio.open_connection(*served.address)
        writer.write(WHOLE[2])
        assert b"connection" not in (await reader.readuntil(b"\r\n\r\n")).replace(b'"connection"', b"")
        served.server.let_clients_go()
        writer.write(WHOLE[2])
        rest = await asyncio.wait_for(reader.read(), 10)
        assert b"connection: close\r\n" in rest
        writer.close()


async def test_who_hangs_up_is_answered_no_more_and_others_are() -> None:
    async with Served(is_hot=True).running() as served:
        waits = request("GET /hot/wait HTTP/1.1", close=False)
        (_, gone), (reader, stays) = [await asyncio.open_connection(*served.address) for _ in range(2)]
        # Without it the end of the connection looks like that of a client that waits for its reply.
        reset: socket.socket = gone.get_extra_info("socket")
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        state: Any = served.server.server_state
        for writer in (gone, stays):
            writer.write(waits)
        await wait_until(lambda: len(state.tasks) == 2)
        gone.transport.abort()
        await wait_until(lambda: len(state.connections) == 1)
        served.going_on.set()
        assert (await reader.readuntil(b'"waited"}')).startswith(b"HTTP/1.1 200 OK\r\n")
        await wait_until(lambda: not state.tasks)
        stays.close()


async def test_replies_that_are_not_taken_are_given_up() -> None:
    async with Served(is_hot=True).running() as served:
        sock = socket.create_connection(served.address)
        sock.setblocking(False)
        state: Any = served.server.server_state
        loop = asyncio.get_running_loop()
        big = request("GET /hot/query HTTP/1.1", *(f"X-{n}: {'x' * 900}" for n in range(9)), close=False)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(10):
                while state.connections:
                    await loop.sock_sendall(sock, big)
        await wait_until(lambda: not state.connections)
        sock.close()
