import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused, unavailable
from imc_contracts.fields import RULES, Limit
from imc_service.http import replies
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp
from structlog.testing import capture_logs

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]


class Page(BaseModel):
    limit: Limit = Field(20)


class Body(BaseModel):
    content: str


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    replies.install(app)

    @app.get("/good")
    async def good(page: Annotated[Page, Query()]) -> object:
        return replies.success({"limit": page.limit, "text": "é\u2028"})

    @app.post("/body")
    async def body(body: Body) -> object:
        return replies.success(body.content)

    @app.get("/refused/{code}")
    async def refused(code: int) -> object:
        raise Refused(ErrorCode(code), "for a reason")

    @app.get("/unavailable")
    async def away() -> object:
        raise unavailable("the log is out of reach", retry_after=7)

    @app.get("/status/{status}")
    async def status(status: int) -> object:
        raise HTTPException(status, "of the framework", {"X-Kept": "yes"})

    @app.get("/fault")
    async def fault() -> object:
        raise RuntimeError("the password is secret")

    return app


def is_failure(reply: httpx.Response, status: int, code: int) -> bool:
    assert reply.headers["content-type"] == "application/json"
    assert reply.status_code == status
    shape = {"success": False, "code": code, "message": reply.json()["message"], "data": None}
    return reply.json() == shape and bool(shape["message"])


async def test_a_success_is_told_in_the_envelope(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        reply = await client.get("/good", params={"limit": "7"})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    data = {"limit": 7, "text": "é\u2028"}
    assert reply.json() == {"success": True, "code": 0, "message": "success", "data": data}
    assert "é\u2028".encode() in reply.content


def test_every_code_has_a_status() -> None:
    assert set(replies.STATUS) == set(ErrorCode)
    for code, status in replies.STATUS.items():
        assert code // 100 == status, "the code begins with the status"


@pytest.mark.parametrize("code", ErrorCode)
async def test_every_refusal_has_its_status(app: FastAPI, calling: Caller, code: ErrorCode) -> None:
    async with calling(app) as client:
        reply = await client.get(f"/refused/{int(code)}")
    assert is_failure(reply, code // 100, code)
    # Whoever met a fault of ours can name it.
    told = r"for a reason \(request id [0-9a-f]{16}\)" if code is ErrorCode.INTERNAL else "for a reason"
    assert re.fullmatch(told, reply.json()["message"])
    assert "retry-after" not in reply.headers


async def test_out_of_reach_says_when_to_retry(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        reply = await client.get("/unavailable")
    assert is_failure(reply, 503, 50301)
    assert reply.headers["retry-after"] == "7"


async def test_the_framework_s_refusals_are_told_in_the_envelope(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        assert is_failure(await client.get("/nowhere"), 404, 40400)
        wrong_method = await client.delete("/good")
        assert is_failure(wrong_method, 405, 40500)
        assert wrong_method.headers["allow"] == "GET, HEAD"
        assert is_failure(await client.get("/status/413"), 413, 41301)
        assert is_failure(await client.get("/status/415"), 415, 41500)
        other = await client.get("/status/418")
        assert is_failure(other, 400, 40001)
        assert other.headers["x-kept"] == "yes"


@pytest.mark.parametrize("size", ["0", "501", "x", "1.0", "true", ""])
async def test_a_bad_parameter_is_named_with_its_bound(app: FastAPI, calling: Caller, size: str) -> None:
    async with calling(app) as client:
        reply = await client.get("/good", params={"limit": size})
    assert is_failure(reply, 400, 40001)
    assert reply.json()["message"] == f"limit is not valid: it must be {RULES['limit']}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "body is not valid JSON"),
        (b"[]", "body is not a JSON object"),
        (b"", "body is not a JSON object"),
        (b"{}", f"content is missing: it must be {RULES['content']}"),
        (b'{"content": 1}', f"content is not a string: it must be {RULES['content']}"),
    ],
)
async def test_a_bad_body_is_named_with_its_bound(
    app: FastAPI, calling: Caller, body: bytes, message: str
) -> None:
    async with calling(app) as client:
        reply = await client.post("/body", content=body, headers={"content-type": "application/json"})
    assert is_failure(reply, 400, 40001)
    assert reply.json()["message"].startswith(message)


async def test_a_fault_of_ours_says_nothing_of_the_inside(app: FastAPI, calling: Caller) -> None:
    with capture_logs() as told:
        async with calling(app) as client:
            reply = await client.get("/fault")
    assert is_failure(reply, 500, 50001)
    assert "secret" not in reply.text
    assert "RuntimeError" not in reply.text
    assert [(event["event"], event["path"]) for event in told] == [("request failed", "/fault")]
    assert isinstance(told[0]["exc_info"], RuntimeError)
