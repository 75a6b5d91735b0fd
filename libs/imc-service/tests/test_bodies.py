import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI, Request
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.http import replies
from imc_service.http.bodies import LARGE_BYTES, BodyRoom, media_type_of, read_body, read_json_body
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]
LIMIT = 10


@pytest.fixture
def app() -> FastAPI:
    app, room = FastAPI(), BodyRoom(LIMIT)
    replies.install(app)

    @app.post("/any")
    async def any_body(request: Request) -> object:
        return replies.success((await read_body(request, LIMIT, room)).decode())

    @app.post("/json")
    async def json_body(request: Request) -> object:
        return replies.success((await read_json_body(request, LIMIT, room)).decode())

    @app.post("/type")
    async def media_type(request: Request) -> object:
        return replies.success(media_type_of(request))

    return app


async def chunks(*parts: bytes) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


async def test_a_body_up_to_the_limit_is_read_whole(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        assert (await client.post("/any", content=b"")).json()["data"] == ""
        assert (await client.post("/any", content=b"x" * LIMIT)).json()["data"] == "x" * LIMIT
        parts = chunks(b"abc", b"", b"def", b"ghij")
        assert (await client.post("/any", content=parts)).json()["data"] == "abcdefghij"


async def test_a_body_over_the_limit_is_refused(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        for content in (b"x" * (LIMIT + 1), chunks(b"x" * LIMIT, b"x")):
            reply = await client.post("/any", content=content)
            assert (reply.status_code, reply.json()["code"]) == (413, 41301)
            assert reply.json()["message"] == "the body is over the limit of 10 bytes"


async def test_an_announced_excess_is_refused_before_anything_is_read(app: FastAPI, calling: Caller) -> None:
    asked = False

    async def content() -> AsyncGenerator[bytes]:
        nonlocal asked
        asked = True
        yield b"x"

    async with calling(app) as client:
        reply = await client.post("/any", content=content(), headers={"content-length": "11"})
    assert reply.status_code == 413
    assert not asked


async def test_no_more_than_the_limit_is_ever_read(app: FastAPI, calling: Caller) -> None:
    given = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b"xxxx"

    async with calling(app) as client:
        reply = await client.post("/any", content=endless())
    assert reply.status_code == 413
    assert given <= 4


@pytest.mark.parametrize("announced", ["x", "-1", "", "1.5", "0"])
async def test_a_length_that_is_none_is_not_trusted(app: FastAPI, calling: Caller, announced: str) -> None:
    async with calling(app) as client:
        reply = await client.post("/any", content=chunks(b"x" * 11), headers={"content-length": announced})
    assert reply.status_code == 413


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        *[
            (None, 200),
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("a/b+json", 200),
        ],
        *[
            ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("application/jsonx", 415),
            ("x", 415),
        ],
    ],
)
async def test_a_json_body_must_say_so_if_it_says_anything(
    app: FastAPI, calling: Caller, media_type: str | None, status: int
) -> None:
    headers = {"content-type": media_type} if media_type else {}
    async with calling(app) as client:
        reply = await client.post("/json", content=b"{}", headers=headers)
        assert reply.status_code == status
        assert reply.json()["code"] == (0 if status == 200 else 41500)


async def test_the_media_type_has_no_parameters(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        headers = {"content-type": " Text/Plain ;charset=x"}
        assert (await client.post("/type", content=b"", headers=headers)).json()["data"] == "text/plain"
        assert (await client.post("/type", content=b"")).json()["data"] == ""


async def test_large_bodies_are_refused_when_too_many_are_unfinished() -> None:
    room = BodyRoom(2 * LARGE_BYTES)
    room.take(LARGE_BYTES, 0)
    room.take(LARGE_BYTES, LARGE_BYTES)
    with pytest.raises(Refused, match="too many large bodies") as refused:
        room.take(1, LARGE_BYTES)
    assert (refused.value.code, refused.value.retry_after) == (ErrorCode.UNAVAILABLE, 1)
    room.take(LARGE_BYTES, 0)  # a small one is always read
    room.give_back(LARGE_BYTES)
    room.give_back(LARGE_BYTES)
    room.take(1, LARGE_BYTES)


@pytest.mark.parametrize("ending", ["whole", "too large", "the client leaves"])
async def test_the_room_of_a_body_is_given_back(calling: Caller, ending: str) -> None:
    app, room = FastAPI(), BodyRoom(LARGE_BYTES)
    replies.install(app)

    @app.post("/any")
    async def any_body(request: Request) -> object:
        return replies.success(len(await read_body(request, 2 * LARGE_BYTES, room)))

    async def content() -> AsyncGenerator[bytes]:
        yield b"x" * LARGE_BYTES
        if ending == "too large":
            yield b"x" * LARGE_BYTES
            yield b"x"
        if ending == "the client leaves":
            raise ConnectionError

    async with calling(app) as client:
        with contextlib.suppress(ConnectionError):
            await client.post("/any", content=content())
    room.take(LARGE_BYTES, 1)  # all of it is free again


async def test_large_bodies_are_worked_on_in_turns_of_their_own() -> None:
    room, turns = BodyRoom(0), 0
    worked: list[int] = []

    async def count_turns() -> None:
        nonlocal turns
        while len(worked) < 5:
            turns += 1
            await asyncio.sleep(0)

    async def work() -> None:
        await room.turn(LARGE_BYTES + 1)
        worked.append(turns)

    await asyncio.gather(count_turns(), *(work() for _ in range(5)))
    assert len(set(worked)) == 5
