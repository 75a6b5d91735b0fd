"""Replies that end with their connection, and connections that an application takes over."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from imc_service.health import Readiness
from imc_service.http.application import assemble
from imc_service.http.guard.options import guarded
from imc_service.http.guard.settings import GuardSettings
from imc_service.http.server import _Server  # pyright: ignore[reportPrivateUsage]
from imc_service.http1.handed_over import EXTENSION, HandedOver
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

HEADERS = [(b"content-type", b"text/plain"), (b"connection", b"close")]


class Taken(HandedOver):
    """Writes what it is told to."""

    def __init__(self) -> None:
        self.received = b""
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True

    def shutdown(self) -> None:
        self.transport.write(b"the end")
        self.transport.close()


class Takes(Response):
    """Begins a reply, and lets a protocol write the rest of it."""

    def __init__(self, taken: Taken, *, hands_over: bool) -> None:
        super().__init__()
        self._taken = taken
        self._hands_over = hands_over

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
        if self._hands_over:
            assert scope["extensions"][EXTENSION].hand_over(self._taken)
        else:
            await send({"type": "http.response.body", "body": b"ended"})


class Served:
    """A server, in the test."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.going_on = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []
        self.address: Any = None
        self.state: Any = None

    def routes(self) -> APIRouter:
        router = APIRouter()

        @router.get("/take")
        async def take(_request: Request) -> Response:
            self.taken.append(Taken())
            return Takes(self.taken[-1], hands_over=True)

        @router.get("/close")
        async def close(_request: Request) -> Response:
            return Takes(Taken(), hands_over=False)

        @router.get("/stand-by")
        async def stand_by(request: Request) -> Response:
            request.scope["extensions"][EXTENSION].stand_by()
            await self.going_on.wait()
            return Response("waited")

        return router

    async def ask(self, target: bytes, version: bytes = b"1.1", more: bytes = b"") -> Any:
        reader, writer = await asyncio.open_connection(*self.address)
        self.writers.append(writer)
        writer.write(b"GET %b HTTP/%b\r\nHost: h\r\n\r\n%b" % (target, version, more))
        return reader, writer


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncGenerator[Served]:
    served, registry = Served(), CollectorRegistry()
    app = assemble(FastAPI(), Readiness(), registry, served.routes())
    options = guarded(GuardSettings.model_validate(settings), registry)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5, **options)
    server, listener = _Server(config, None), socket.create_server(("127.0.0.1", 0))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    await wait_until(lambda: server.started)
    served.address, served.state = listener.getsockname(), server.server_state
    try:
        yield served
    finally:
        served.going_on.set()
        server.end()
        await running
        for writer in served.writers:
            writer.transport.abort()


async def test_a_reply_with_connection_close_ends_with_it() -> None:
    async with serving() as served:
        for version in (b"1.1", b"1.0"):
            reader, _ = await served.ask(b"/close", version)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert head.count(b"connection: close") == 1
            assert b"transfer-encoding" not in head
            assert body == b"begun ended"


async def test_a_protocol_writes_the_rest_and_gets_what_comes() -> None:
    async with serving() as served:
        reader, writer = await served.ask(b"/take", more=b"early ")
        await reader.readuntil(b"begun ")
        taken = served.taken[0]
        writer.write(b"late")
        await wait_until(lambda: taken.received.endswith(b"late"))
        taken.transport.write(b"written")
        await reader.readuntil(b"written")
        assert not served.state.tasks
        assert served.state.connections == {taken}
        writer.close()
        await wait_until(lambda: taken.is_lost)
        assert not served.state.connections


async def test_the_end_of_the_server_ends_it() -> None:
    async with serving() as served:
        reader, _ = await served.ask(b"/take")
        await reader.readuntil(b"begun ")
    assert await reader.read() == b"the end"


async def test_it_counts_for_its_address_until_it_is_lost() -> None:
    async with serving(max_connections_per_address=1) as served:
        reader, writer = await served.ask(b"/take")
        await reader.readuntil(b"begun ")
        other, _ = await served.ask(b"/close")
        assert (await other.read()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        await wait_until(lambda: served.taken[0].is_lost)
        other, _ = await served.ask(b"/close")
        assert (await other.read()).startswith(b"HTTP/1.1 200 ")


async def test_a_request_that_stands_by_is_not_in_flight() -> None:
    async with serving(max_requests_in_flight=1) as served:
        waiting = [await served.ask(b"/stand-by") for _ in range(3)]
        await wait_until(lambda: len(served.state.connections) == 3 and not served.state.tasks)
        reader, _ = await served.ask(b"/close")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        served.going_on.set()
        for reader, _ in waiting:
            assert (await reader.readuntil(b"waited")).startswith(b"HTTP/1.1 200 ")
