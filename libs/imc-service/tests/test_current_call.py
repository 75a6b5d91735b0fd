"""The id of a call: chosen by its client, or made when something asks for it; in logs, replies and calls."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service import current_call
from imc_service.current_call import CURRENT, answering, choose_id, follow, id_of, known_id, trace_of
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.logs import get_logger
from prometheus_client import CollectorRegistry


def a_call(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers), "state": {}}


@pytest.mark.parametrize("chosen", [b"a", b"x" * 64, b"Root=1-67891233-abcdef012345678912345678", b"a;b,c~!"])
def test_a_client_chooses_the_id(chosen: bytes) -> None:
    scope = a_call((b"x-request-id", chosen))
    assert id_of(scope) == known_id(scope) == chosen.decode()


@pytest.mark.parametrize("chosen", [b"", b"x" * 65, b"a b", b"a\tb", b"a\x00", b"\xc3\xa9", b"a\x7f", b"a\n"])
def test_an_id_that_is_not_sane_is_replaced(chosen: bytes) -> None:
    scope = a_call((b"x-request-id", chosen))
    choose_id(scope, chosen)
    assert known_id(scope) is None
    made = id_of(scope)
    assert len(made) == 16
    assert int(made, 16) >= 0


def test_an_id_is_made_once_and_only_where_it_is_asked_for() -> None:
    scope, other = a_call(), a_call()
    copy = {**scope}
    assert known_id(scope) is None
    made = id_of(copy)
    assert made == id_of(scope) == known_id(scope)
    assert made != id_of(other)
    bare: dict[str, Any] = {"type": "http"}
    assert known_id(bare) is None
    assert id_of(bare) == known_id(bare)


def test_calls_to_others_bear_the_id_of_the_call_that_they_are_made_for() -> None:
    scope = a_call((b"x-request-id", b"of-ann"))
    with answering(scope):
        assert current_call.headers() == {"x-request-id": "of-ann"}
    assert CURRENT.get() is None
    one, two = current_call.headers(), current_call.headers()
    assert one.keys() == two.keys() == {"x-request-id"}
    assert one != two


def test_the_trace_of_a_call_is_noted_in_it() -> None:
    scope = a_call()
    assert trace_of(scope) is None
    assert trace_of(None) is None
    follow(scope, "00-1-2-01")
    assert trace_of({**scope}) == "00-1-2-01"


async def test_lines_bear_the_id_of_the_call_that_they_are_written_in(
    lines_of_logs: Callable[[], list[dict[str, Any]]],
) -> None:
    logger = get_logger("x")

    async def answer(name: bytes) -> None:
        with answering(a_call((b"x-request-id", name))):
            await asyncio.sleep(0)
            logger.info(name.decode())

    await asyncio.gather(answer(b"one"), answer(b"two"))
    traced = a_call()
    follow(traced, "00-aa-bb-01")
    with answering(traced):
        logger.info("traced", requestId="given")
    logger.info("outside")
    lines = lines_of_logs()
    assert [(each["event"], each.get("requestId"), each.get("traceId")) for each in lines] == [
        ("one", "one", None),
        ("two", "two", None),
        ("traced", "given", "aa"),
        ("outside", None, None),
    ]


def routes() -> APIRouter:
    router = APIRouter(prefix="/v1")
    logger = get_logger("x")

    @router.get("/fault")
    async def fault(_request: Request) -> Response:
        raise ZeroDivisionError

    @router.get("/unknown")
    async def unknown(_request: Request) -> Response:
        raise Refused(ErrorCode.INTERNAL, "nobody knows")

    @router.get("/told")
    async def told(_request: Request) -> Response:
        logger.warning("told")
        return replies.success(None)

    @router.get("/refused")
    async def refused(_request: Request) -> Response:
        raise Refused(ErrorCode.UNAVAILABLE, "not now")

    return router


@pytest.mark.parametrize("is_hot", [True, False])
@pytest.mark.parametrize("path", ["fault", "unknown"])
async def test_a_reply_names_the_id_where_the_fault_is_ours(
    calling: Any, lines_of_logs: Callable[[], list[dict[str, Any]]], path: str, is_hot: bool
) -> None:
    app = assemble(FastAPI(), Readiness(), CollectorRegistry(), routes(), hot=[routes()] if is_hot else [])
    async with calling(app) as client:
        for headers in ({"x-request-id": "of-ann"}, {}):
            reply = await client.get(f"/v1/{path}", headers=headers)
            assert reply.status_code == 500
            lines = lines_of_logs()
            ids = {line["requestId"] for line in lines if "requestId" in line}
            message: str = reply.json()["message"]
            named = message.rpartition("(request id ")[2].removesuffix(")")
            assert named == headers.get("x-request-id", named)
            assert ids == ({named} if path == "fault" else set())
            assert "ZeroDivision" not in message
        reply = await client.get("/v1/refused")
        assert reply.json()["message"] == "not now"
    assert sys.exc_info() == (None, None, None)
