"""Calls on the hot path are answered as FastAPI would answer them, only sooner."""

from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.http.hot_path import HotPath, HotPathMiddleware
from imc_service.metrics import HttpSeries
from prometheus_client import CollectorRegistry


def routes() -> APIRouter:
    router = APIRouter(prefix="/things")

    @router.get("/find")
    async def find(request: Request) -> Response:
        return replies.success(request.query_params.get("name"))

    @router.post("/find")
    async def make(request: Request) -> Response:
        return replies.success((await request.body()).decode())

    @router.get("/refused")
    async def refused(_request: Request) -> Response:
        raise Refused(ErrorCode.UNAVAILABLE, "not now", retry_after=3)

    @router.get("/broken")
    async def broken(_request: Request) -> Response:
        raise ZeroDivisionError

    return router


def application(*, hot: bool) -> FastAPI:
    return assemble(FastAPI(), Readiness(), CollectorRegistry(), routes(), hot=[routes()] if hot else [])


CALLS = [
    ("GET", "/things/find?name=%F0%9F%99%82"),
    ("HEAD", "/things/find"),
    ("POST", "/things/find"),
    ("PUT", "/things/find"),
    ("GET", "/things/find/"),
    ("GET", "/things/refused"),
    ("GET", "/things/broken"),
    ("GET", "/things"),
    ("GET", "/livez"),
]


def shown(reply: httpx.Response) -> tuple[Any, ...]:
    return reply.status_code, sorted(reply.headers.items()), reply.content


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_every_call_is_answered_and_counted_alike(calling: Any, method: str, path: str) -> None:
    answers: list[tuple[Any, ...]] = []
    for hot in (True, False):
        async with calling(application(hot=hot)) as client:
            content = b"body" if method == "POST" else None
            # With an id of its own: one that is made differs.
            reply = await client.request(method, path, content=content, headers={"X-Request-Id": "of-ann"})
            metrics = (await client.get("/metrics")).text
            counted = [line for line in metrics.splitlines() if line.startswith("imc_http_requests_total")]
            answers.append((*shown(reply), counted))
    assert answers[0] == answers[1]


async def test_a_hot_call_does_not_reach_fastapi(calling: Any) -> None:
    async def unreachable(*_: object) -> None:
        raise AssertionError("passed on")

    hot_path = HotPath([routes()], HttpSeries(CollectorRegistry()))
    async with calling(HotPathMiddleware(unreachable, hot_path)) as client:
        assert (await client.get("/things/find?name=x")).json()["data"] == "x"
        assert (await client.get("/things/refused")).headers["Retry-After"] == "3"
