"""Routes of an application, built once."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import fastapi.routing
import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from imc_service.http import replies
from imc_service.http.routes import add_routes, joined
from pydantic import BaseModel
from starlette.types import ASGIApp


class Thing(BaseModel):
    name: str


def routes(prefix: str) -> APIRouter:
    router = APIRouter(prefix=prefix)

    @router.get("/one", response_model=Thing)
    async def one_thing(_request: Request) -> Response:
        return replies.success({"name": prefix})

    @router.get("/other", response_model=Thing, operation_id="chosen" + prefix[1:])
    async def other(_request: Request) -> Response:
        return replies.success({"name": "other"})

    return router


async def test_the_first_request_builds_nothing(
    calling: Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = FastAPI()
    add_routes(app, joined([routes("/a"), routes("/b")]))
    monkeypatch.setattr(fastapi.routing, "create_model_field", pytest.fail)
    async with calling(app) as client:
        for prefix in ("/a", "/b"):
            reply = await client.get(f"{prefix}/one")
            assert (reply.status_code, reply.json()["data"]) == (200, {"name": prefix})


def test_operations_are_called_as_their_functions_or_as_is_said() -> None:
    app = FastAPI()
    add_routes(app, joined([routes("/a"), routes("/chat/message")]))
    calls = {path: methods["get"]["operationId"] for path, methods in app.openapi()["paths"].items()}
    assert calls == {
        "/a/one": "oneThing",
        "/a/other": "chosena",
        "/chat/message/one": "javaOneThing",
        "/chat/message/other": "chosenchat/message",
    }
