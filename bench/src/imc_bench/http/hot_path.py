"""The CPU time of one call, with and without the hot path: what the steps of FastAPI and of ASGI cost.

One connection calls an endpoint that reads a body like that of a send and answers it. Client and server are
in one process, so that each figure contains the client too.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial

import uvicorn
import uvloop
from fastapi import APIRouter, FastAPI, Request, Response
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.http.bodies import BodyRoom, read_json_body
from imc_service.http.guard.options import guarded
from imc_service.http.guard.settings import GuardSettings
from prometheus_client import CollectorRegistry

from imc_bench.rounds import alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale

MAX_SHARE = 0.85
"""The protocol finds hot calls itself only if that makes a call 15 % cheaper than a middleware does."""

_BODY_BYTES = 10_000
_BODY = b'{"appId":"demo","groupId":"lobby","userId":"u1","content":"%b"}' % (b"x" * 120)
_REQUEST = (
    b"POST /call HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_FASTAPI, _MIDDLEWARE, _PROTOCOL = (
    "FastAPI's own stack",
    "hot path as a middleware",
    "hot path in the protocol",
)


def measure(scale: Scale) -> list[Result]:
    """Measure the three ways in turn, in µs of CPU time a call."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    calls = scale.of(short=1000, full=5000)
    ways = (_FASTAPI, _MIDDLEWARE, _PROTOCOL)
    found = await alternate({way: partial(_cost, way, calls) for way in ways}, scale.rounds)
    figures = {way: spread(found[way]["CPU"], "µs/call") for way in ways}
    share = figures[_PROTOCOL].median / figures[_MIDDLEWARE].median
    return [
        Result(
            row="hot-path",
            name="a hot call",
            figures=figures,
            goal=f"in the protocol ≤ {MAX_SHARE:.0%} of a middleware's",
            ratio=share,
            met=share <= MAX_SHARE,
            checks=[f"all {calls} calls of each round were answered with their own body"],
        )
    ]


async def _cost(way: str, calls: int) -> Mapping[str, float]:
    async with _serving(way) as (reader, writer):
        answer = await _call(reader, writer)
        begun = time.process_time()
        for _ in range(calls):
            if await _call(reader, writer) != answer:
                raise InvalidRun("a call was answered with another body")
        return {"CPU": (time.process_time() - begun) / calls * 1e6}


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(_REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return await reader.readexactly(size)


@contextlib.asynccontextmanager
async def _serving(way: str) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve the call in one of the ways. Yields a connection to it."""
    registry = CollectorRegistry()
    hot = [] if way == _FASTAPI else [_routes()]
    app = assemble(FastAPI(), Readiness(), registry, _routes(), hot=hot)
    if way == _MIDDLEWARE:
        del app.state.hot_path  # where the protocol looks for it
    options = guarded(GuardSettings.model_validate({}), registry)
    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, **options)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


def _routes() -> APIRouter:
    router = APIRouter()
    room = BodyRoom(_BODY_BYTES)

    @router.post("/call")
    async def call(request: Request) -> Response:
        return replies.success((await read_json_body(request, _BODY_BYTES, room)).decode())

    return router
