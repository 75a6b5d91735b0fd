"""Replies and paths of the Java door, which all services answer beside v1."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response, WebSocket
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, unavailable
from imc_contracts.policies import Policies
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.settings import AccessSettings
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.settings import load
from imc_testkit.tokens import JWT, bearer
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]

BUSINESS = {40401, 40402, 40901, 40902, 40903}
"""What the Java version refuses with status 200, in the codes of v1."""

IN_THE_WAY: list[Exception] = [
    *(Refused(code, "for a reason") for code in ErrorCode),
    unavailable("the log is out of reach", retry_after=7),
    HTTPException(415),
    HTTPException(418),
    ZeroDivisionError(),
]


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/chat/fail/{number}")
    @router.get("/v1/fail/{number}")
    async def fail(number: int) -> Response:
        raise IN_THE_WAY[number]

    @router.websocket("/chat/broadcast/{value:path}")
    async def connect(_websocket: WebSocket) -> None: ...

    return router


def hot_routes() -> APIRouter:
    router = APIRouter()

    @router.get("/chat/hot")
    async def hot(request: Request) -> Response:
        return replies.success(request.query_params.get("name"))

    @router.get("/notice/refused")
    async def refused(_request: Request) -> Response:
        raise unavailable("not now", retry_after=3)

    return router


def application(**settings: str) -> FastAPI:
    gatekeeper = gatekeeper_of(load(AccessSettings, settings), Policies()) if settings else None
    hot = [hot_routes()]
    app = FastAPI(docs_url=None, redoc_url=None)
    return assemble(app, Readiness(), CollectorRegistry(), routes(), *hot, gatekeeper=gatekeeper, hot=hot)


def is_refusal(reply: httpx.Response, status: int, message: str | None = None) -> bool:
    assert reply.headers["content-type"] == "application/json"
    told = reply.json()
    assert list(told) == ["success", "code", "message", "data"]
    assert (reply.status_code, told["success"], told["code"], told["data"]) == (status, False, -1, None)
    return bool(told["message"]) if message is None else told["message"] == message


@pytest.mark.parametrize("number", range(len(IN_THE_WAY)))
async def test_a_refusal_has_one_code_and_the_status_of_v1_unless_it_is_business(
    calling: Caller, number: int
) -> None:
    async with calling(application()) as client:
        named = {"x-request-id": "one"}  # a fault of ours is told with it
        java, v1 = [await client.get(f"/{door}/fail/{number}", headers=named) for door in ("chat", "v1")]
    code = v1.json()["code"]
    assert code // 100 == v1.status_code
    assert is_refusal(java, 200 if code in BUSINESS else v1.status_code, v1.json()["message"])
    for name in ("retry-after", "www-authenticate"):
        assert java.headers.get(name) == v1.headers.get(name)


async def test_what_no_route_answers_is_refused_so_too(calling: Caller) -> None:
    async with calling(application()) as client:
        assert is_refusal(await client.get("/notice/nowhere"), 404)
        assert is_refusal(await client.get("/chat/fail/x"), 400)
        wrong_method = await client.post("/chat/hot")
        assert is_refusal(wrong_method, 405)
        assert wrong_method.headers["allow"] == "GET, HEAD"
        assert (await client.get("/chats/x")).json()["code"] == ErrorCode.PATH_NOT_FOUND


async def test_a_call_without_a_token_is_refused_so_too(calling: Caller) -> None:
    async with calling(application(**JWT)) as client:
        for path in ("/chat/hot", "/chat/hot/", "/chat/fail/0", "/notice/nowhere"):
            assert is_refusal(await client.get(path), 401), path
        assert (await client.get("/chat/hot/?name=x", headers=bearer())).json()["data"] == "x"


async def test_a_path_may_end_in_a_slash_here_and_not_on_v1(calling: Caller) -> None:
    async with calling(application()) as client:
        assert (await client.get("/chat/hot/?name=x")).json()["data"] == "x"
        assert is_refusal(await client.get("/notice/refused/"), 503)
        assert is_refusal(await client.get("/chat/fail/0/"), 400, "for a reason")
        assert (await client.get("/v1/fail/0/")).json()["code"] == ErrorCode.PATH_NOT_FOUND
        counted = [line for line in (await client.get("/metrics")).text.splitlines() if "_total{" in line]
    paths = [line.split('"')[1] for line in counted]
    assert paths == ["/chat/hot", "/notice/refused", "/chat/fail/{number}", "other"]


@pytest.mark.parametrize(
    ("raw_path", "path", "expected"),
    [
        ("/chat/broadcast/a/g/", "/chat/broadcast/a/g/", "a/g"),
        ("/chat/broadcast/a/g", "/chat/broadcast/a/g", "a/g"),
        ("/chat/broadcast/a/g%2F", "/chat/broadcast/a/g/", "a/g/"),
        ("/chat/broadcast/a/g//", "/chat/broadcast/a/g//", "a/g//"),
    ],
)
async def test_so_may_the_path_of_a_websocket(raw_path: str, path: str, expected: str) -> None:
    found: list[str] = []
    router = APIRouter()

    @router.websocket("/chat/broadcast/{value:path}")
    async def connect(websocket: WebSocket) -> None:
        found.append(websocket.path_params["value"])

    async def unused(*_: Any) -> Any:
        return {"type": "websocket.connect"}

    app = assemble(FastAPI(), Readiness(), CollectorRegistry(), router)
    scope: dict[str, Any] = {"type": "websocket", "path": path, "raw_path": raw_path.encode(), "headers": []}
    await app({**scope, "query_string": b"", "extensions": {}}, unused, unused)
    assert found == [expected]
