"""Calls with and without tokens, over HTTP and before the upgrade of a WebSocket."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from imc_contracts.codes import ErrorCode
from imc_contracts.policies import Policies
from imc_contracts.scopes import Scope
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.middleware import OPEN_PATHS, Authenticated, grant_in
from imc_service.auth.settings import AccessSettings
from imc_service.health import Readiness
from imc_service.http.application import assemble
from imc_service.settings import load
from imc_testkit.tokens import JWT, OFF, bad_tokens, bearer, token
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]


def app_with(settings: dict[str, str]) -> FastAPI:
    router = APIRouter()

    @router.get("/whoami")
    async def whoami(request: Request) -> list[str]:
        return sorted(grant_in(request.scope).scopes)

    return assemble(
        FastAPI(docs_url=None, redoc_url=None),
        Readiness(),
        CollectorRegistry(),
        router,
        gatekeeper=gatekeeper_of(load(AccessSettings, settings), Policies()),
    )


async def test_a_call_needs_a_token(calling: Caller) -> None:
    async with calling(app_with(JWT)) as client:
        reply = await client.get("/whoami", headers=bearer("a", "read"))
        assert (reply.status_code, reply.json()) == (200, ["read"])
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": f"Basic {token()}"},
            {"Authorization": token()},
            {"X-Authorization": f"Bearer {token()}"},
            [("Authorization", f"Bearer {token()}"), ("Authorization", f"Bearer {token()}")],
        ):
            reply = await client.get("/whoami", headers=headers)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
            body = reply.json()
            assert (body["success"], body["code"], body["data"]) == (False, ErrorCode.UNAUTHENTICATED, None)
        # A query gets into logs: there it is only for who can't do otherwise.
        assert (await client.get("/whoami", params={"access_token": token()})).status_code == 401
        assert (await client.get("/no-such-path")).status_code == 401
        assert (await client.get("/no-such-path", headers=bearer())).status_code == 404
        assert 'path="other",status="401"' in (await client.get("/metrics")).text


async def test_no_bad_token_is_let_in(calling: Caller) -> None:
    async with calling(app_with(JWT)) as client:
        for name, bad in bad_tokens().items():
            reply = await client.get("/whoami", headers={b"Authorization": f"Bearer {bad}".encode()})
            assert (reply.status_code, reply.json()["code"]) == (401, 40101), name


async def test_what_is_open_is_open_and_nothing_beside_it(calling: Caller) -> None:
    async with calling(app_with(JWT)) as client:
        for path in OPEN_PATHS - {"/console", "/test.html"}:
            assert (await client.get(path)).status_code == 200, path
        for path in (
            "/livez/",
            "//livez",
            "/livez%2f..%2fwhoami",
            "/docs/../whoami",
            "/METRICS",
            "/consoles/",
            "/whoami/console/",
            "/openapi.json/",
        ):
            assert (await client.get(f"http://test{path}")).status_code in (401, 404), path


async def test_where_nobody_is_asked_everything_is_allowed(calling: Caller) -> None:
    async with calling(app_with(OFF)) as client:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            assert (await client.get("/whoami", headers=headers)).json() == sorted(Scope)


@pytest.mark.parametrize(
    ("query", "headers", "is_let_in"),
    [
        ("", [], False),
        (f"access_token={token()}", [], True),
        (f"cursor=x&access_token={token()}", [], True),
        (f"access_token={token()}&access_token={token()}", [], False),
        ("access_token=", [], False),
        ("access_token=nonsense", [], False),
        ("access_token=%ff%fe", [], False),
        ("", [(b"authorization", f"bearer {token()}".encode())], True),
        (f"access_token={token()}", [(b"authorization", b"Bearer nonsense")], False),
    ],
)
async def test_a_websocket_is_refused_before_its_upgrade(
    query: str, headers: list[tuple[bytes, bytes]], is_let_in: bool
) -> None:
    reached: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        reached.append(scope["state"]["grant"])

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read before it is let in")

    scope: dict[str, Any] = {
        "type": "websocket",
        "path": "/x",
        "query_string": query.encode(),
        "headers": headers,
        "extensions": {"websocket.http.response": {}},
    }
    await Authenticated(app, gatekeeper_of(load(AccessSettings, JWT), Policies()))(scope, receive, send)
    assert bool(reached) is is_let_in
    if not is_let_in:
        assert sent[0]["type"] == "websocket.http.response.start"
        assert sent[0]["status"] == 401
        assert (b"www-authenticate", b"Bearer") in sent[0]["headers"]
        assert b'"code":40101' in sent[1]["body"]
