import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
import structlog
from fastapi import FastAPI
from imc_service import background, health
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp

Caller = Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(readiness: Readiness, registry: CollectorRegistry) -> FastAPI:
    app = FastAPI()
    app.include_router(health.routes(readiness, registry))
    return app


async def well() -> str | None:
    return None


async def away() -> str | None:
    return "out of reach"


async def broken() -> str | None:
    raise RuntimeError("the password is secret")


async def hung() -> str | None:
    await asyncio.Event().wait()


async def test_a_process_without_parts_is_ready(app: FastAPI, calling: Caller) -> None:
    async with calling(app) as client:
        for path, status in (("/livez", "alive"), ("/readyz", "ready")):
            reply = await client.get(path)
            assert (reply.status_code, reply.json()) == (200, {"status": status})


async def test_it_is_ready_again_once_every_part_is(
    app: FastAPI, calling: Caller, readiness: Readiness
) -> None:
    reasons: list[str | None] = ["starting", None]

    async def part() -> str | None:
        return reasons.pop(0)

    readiness.add("redis", well)
    readiness.add("database", part)
    async with calling(app) as client:
        reply = await client.get("/readyz")
        assert reply.status_code == 503
        assert reply.json() == {"status": "not ready", "reasons": ["database: starting"]}
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_every_reason_is_told_and_a_hung_part_hangs_nothing(
    app: FastAPI, calling: Caller, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)
    for check in (well, away, broken, hung):
        readiness.add(check.__name__, check)
    async with asyncio.timeout(60), calling(app) as client:
        reply = await client.get("/readyz")
        assert (await client.get("/livez")).status_code == 200
    assert reply.status_code == 503
    assert reply.json()["reasons"] == [
        "away: out of reach",
        "broken: RuntimeError",
        "hung: no answer in time",
    ]


async def test_a_check_that_blocks_the_event_loop_is_caught_by_the_tests(readiness: Readiness) -> None:
    async def blocking() -> str | None:
        time.sleep(0)  # noqa: ASYNC251 - the fault that the watch in the root conftest.py is there for

    readiness.add("blocking", blocking)
    assert await readiness.reasons() == ["blocking: BlockingError"]


async def test_metrics_are_told_in_the_format_of_prometheus(
    app: FastAPI, calling: Caller, registry: CollectorRegistry
) -> None:
    Counter("imc_things", "Things.", registry=registry).inc(3)
    async with calling(app) as client:
        reply = await client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    assert "imc_things_total 3.0" in reply.text


async def test_metrics_say_whether_the_process_is_ready(
    app: FastAPI, calling: Caller, readiness: Readiness
) -> None:
    reasons: list[str | None] = ["starting", None]

    async def part() -> str | None:
        return reasons.pop(0)

    readiness.add("part", part)
    async with calling(app) as client:
        assert "\nimc_ready 0.0\n" in (await client.get("/metrics")).text
        assert "\nimc_ready 1.0\n" in (await client.get("/metrics")).text


async def test_what_fails_is_logged_once_and_once_when_it_is_over(
    readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TELL_SECONDS", 0)
    fine = None
    answers = [fine, "first", "first", "second", "first", fine, fine, "first", fine]
    rounds = iter(answers)
    done = asyncio.Event()

    async def changing() -> str | None:
        answer = next(rounds, "over")
        if answer == "over":
            done.set()
            return None
        return answer

    readiness.add("part", changing)
    readiness.add("other", well)
    with structlog.testing.capture_logs() as told:
        async with background.running(readiness.keep_telling()):
            await done.wait()
    assert [(line["event"], line["part"], line.get("reason")) for line in told] == [
        ("not ready", "part", "first"),
        ("not ready", "part", "second"),
        ("ready again", "part", None),
        ("not ready", "part", "first"),
        ("ready again", "part", None),
    ]


async def test_parts_can_be_left_out(app: FastAPI, calling: Caller, readiness: Readiness) -> None:
    readiness.add("queue", away)
    readiness.add("store", away)
    async with calling(app) as client:
        assert (await client.get("/readyz?exclude=queue")).json()["reasons"] == ["store: out of reach"]
        assert (await client.get("/readyz?exclude=queue&exclude=store")).status_code == 200
        assert (await client.get("/readyz?exclude=nobody")).status_code == 503
