"""What processes say of themselves: kept while they run, and for a minute after they were last seen."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from imc_contracts import names
from imc_service import presence
from imc_service.health import Readiness
from imc_service.presence import Identity, address_at, announced
from imc_service.redis.masters import Masters
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis
from redis.exceptions import RedisError


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PERIOD_SECONDS", 0.05)
    monkeypatch.setattr(presence, "UNREADY_SECONDS", 0.05)


@pytest.fixture
async def server() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture
async def own(server: PrivateRedis) -> AsyncGenerator[Any]:
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        yield redis


def identity(name: str = "imc-x") -> Identity:
    return Identity(name, "1.2.3", "here:1")


async def note_process(redis: Any, name: str, seen: int) -> None:
    """Say that a process was last seen at a time, in milliseconds."""
    record = orjson.dumps({"name": name, "id": name, "address": "x"})
    await redis.zadd(names.PROCESSES, {record: seen})


async def test_it_is_announced_with_its_readiness_until_it_ends(server: PrivateRedis, own: Any) -> None:
    readiness, trouble, own_identity = Readiness(), list[str](), identity()

    async def check() -> str | None:
        return trouble[0] if trouble else None

    readiness.add("log", check)
    masters = Masters(own)
    async with announced(server.url, own_identity, readiness):
        [process] = await wait_until(lambda: presence.processes(masters)) or []
        seen = process["lastSeen"]
        assert process == {
            "name": "imc-x",
            "id": own_identity.id,
            "address": "here:1",
            "version": "1.2.3",
            "startedAt": own_identity.started_at,
            "lastSeen": seen,
            "ready": True,
            "reasons": {},
        }
        assert await presence.running(masters) == {own_identity.id: "here:1"}
        trouble.append("out of reach " + "x" * 1000)

        async def is_told() -> bool:
            [process] = await presence.processes(masters)
            is_bounded = len(process["reasons"].get("log", "")) == presence.MOST_REASON_CHARACTERS
            return not process["ready"] and is_bounded and process["lastSeen"] > seen

        await wait_until(is_told)
        assert await own.zcard(names.PROCESSES) == 1, "a record takes the place of the one before"
        readiness.retire("it ends")

        async def is_ending() -> bool:
            return (await presence.processes(masters))[0]["reasons"] == {"process": "it ends"}

        await wait_until(is_ending)
    assert await presence.processes(masters) == []


async def test_one_that_died_is_listed_for_a_minute_and_runs_no_more_after_seconds(
    server: PrivateRedis, own: Any
) -> None:
    masters = Masters(own)
    async with announced(server.url, identity(), Readiness()):
        [living] = await wait_until(lambda: presence.processes(masters)) or []
        for name, age in (("a-late", presence.LEASE_MS + 1000), ("b-gone", presence.KEEP_MS + 1000)):
            await note_process(own, name, living["lastSeen"] - age)
        await own.zadd(names.PROCESSES, {b"by hand": living["lastSeen"], b"[1]": living["lastSeen"]})
        assert [each["name"] for each in await presence.processes(masters)] == ["a-late", "imc-x"]
        assert list(await presence.running(masters)) == [living["id"]]

        async def is_forgotten() -> bool:
            return not any(b"b-gone" in each for each in await own.zrange(names.PROCESSES, 0, -1))

        await wait_until(is_forgotten)


async def test_it_waits_for_redis_and_outlives_it(server: PrivateRedis, own: Any) -> None:
    masters = Masters(own)
    await server.stop()
    async with announced(server.url, identity(), Readiness()):
        for _ in range(2):
            await server.start()

            async def is_announced() -> bool:
                with contextlib.suppress(OSError, RedisError):
                    return len(await presence.processes(masters)) == 1
                return False

            await wait_until(is_announced, 20)
            await server.stop()


async def test_a_redis_that_hangs_does_not_hold_up_the_end(server: PrivateRedis, own: Any) -> None:
    masters = Masters(own)
    async with asyncio.timeout(None) as end:
        async with announced(server.url, identity(), Readiness()):
            await wait_until(lambda: presence.processes(masters))
            server.pause()
            end.reschedule(asyncio.get_running_loop().time() + 5)
        end.reschedule(None)
    server.resume()


async def test_one_runs_until_its_lease_is_over(own: Any) -> None:
    seconds, _ = await own.time()
    newest = seconds * 1000
    for name, age in (("living", presence.LEASE_MS - 1), ("dead", presence.LEASE_MS), ("newest", 0)):
        await note_process(own, name, newest - age)
    assert set(await presence.running(Masters(own))) == {"living", "newest"}


def test_each_process_has_an_id_of_its_own() -> None:
    assert len({identity().id for _ in range(100)}) == 100


def test_a_process_began_when_its_identity_was_made() -> None:
    before = time.time() * 1000
    assert int(before) <= identity().started_at <= time.time() * 1000


@pytest.mark.parametrize(
    ("host", "is_as_given"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
)
def test_where_a_process_is(host: str, is_as_given: bool) -> None:
    address = address_at(host, 8000)
    assert address.endswith(":8000")
    assert (address == f"{host}:8000") == is_as_given
