"""`Masters` on a real master that Redis Sentinel watches, while it fails."""

import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest
from imc_service.redis import masters as redis_masters
from imc_service.redis.errors import NotConnected, was_not_run
from imc_service.redis.masters import Masters, Script
from imc_service.redis.url import check
from imc_testkit.processes import free_port
from imc_testkit.redis_sentinels import PrivateSentinels, private_sentinels
from imc_testkit.waiting import wait_until
from imc_testkit.writing import writing
from redis.asyncio import Redis
from redis.exceptions import RedisError

PUSH = "return redis.call('RPUSH', KEYS[1], ARGV[1])"


@pytest.fixture(scope="module")
async def sentinels() -> AsyncGenerator[PrivateSentinels]:
    async with private_sentinels("user watcher on >s3cret +sentinel|masters") as sentinels:
        yield sentinels


@pytest.fixture
async def masters(sentinels: PrivateSentinels) -> AsyncGenerator[Masters]:
    await sentinels.healthy()
    async with contextlib.aclosing(redis_masters.connect(check(sentinels.url))) as masters:
        yield masters


@pytest.fixture
def key() -> str:
    return secrets.token_hex(4)


def pushing(masters: Masters, key: str, *, replicas: int) -> Callable[[int], Awaitable[object]]:
    script = Script(masters, PUSH)

    async def push(number: int) -> object:
        return await script.replicated([key], [number], replicas=replicas, milliseconds=3000)

    return push


async def numbers(masters: Masters, key: str) -> list[int]:
    return [
        int(number) for number in await masters.run(key, lambda redis: cast(Any, redis).lrange(key, 0, -1))
    ]


async def works(masters: Masters, key: str) -> bool:
    with contextlib.suppress(RedisError, OSError):
        return bool(await masters.run(key, lambda redis: cast(Any, redis).exists(key)))
    return False


async def test_the_database_of_the_url_is_used(sentinels: PrivateSentinels, key: str) -> None:
    url = check(sentinels.url.removesuffix("/0") + "/3")
    async with contextlib.aclosing(redis_masters.connect(url)) as masters:
        assert masters.database == 3
        await masters.run(key, lambda redis: cast(Any, redis).set(key, 1))
    server = await sentinels.master()
    async with Redis.from_url(server.url.removesuffix("/0") + "/3") as redis:  # pyright: ignore
        assert await redis.exists(key)


async def test_a_demoted_master_is_left_for_the_new_one(
    sentinels: PrivateSentinels, masters: Masters, key: str
) -> None:
    async with writing(pushing(masters, key, replicas=1), was_not_run) as writer:
        await sentinels.fail_over()
        await sentinels.healthy()
        await writer.more()
    writer.assert_written(await numbers(masters, key))


async def port_of(masters: Masters) -> int:
    """The port of the server that commands come to."""
    info = await masters.run("a", lambda redis: cast(Any, redis).info("server"))
    return info["tcp_port"]


async def test_a_master_that_was_replaced_is_left_though_it_goes_on(
    sentinels: PrivateSentinels, masters: Masters
) -> None:
    """For some 10 s nobody tells it, and its connections stay: what it takes is lost."""
    old = await sentinels.master()
    assert await port_of(masters) == old.port
    new = await sentinels.fail_over()
    await masters.follow()
    assert await port_of(masters) == new.port
    await sentinels.healthy()


async def test_that_no_sentinel_answers_is_no_fault() -> None:
    """The master may work all the same."""
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/imc"
    async with contextlib.aclosing(redis_masters.connect(check(url))) as masters:
        await masters.follow()


@pytest.mark.parametrize("end", ["killed", "hung"])
async def test_a_master_fails_and_its_replica_takes_over(
    sentinels: PrivateSentinels, masters: Masters, key: str, end: str
) -> None:
    master = await sentinels.master()
    async with writing(pushing(masters, key, replicas=1), was_not_run) as writer:
        if end == "killed":
            await master.kill()
        else:
            master.pause()
        await sentinels.taken_over(master)
        await wait_until(lambda: works(masters, key))
        if end == "killed":
            await master.start()
        else:
            master.resume()
        await sentinels.healthy()
        await writer.more()
    writer.assert_written(await numbers(masters, key))


async def test_one_sentinel_is_enough(sentinels: PrivateSentinels, key: str) -> None:
    hung, *_, last = sentinels.sentinels
    places = f"127.0.0.1:{hung.port},127.0.0.1:{free_port()},127.0.0.1:{last.port}"
    hung.pause()
    try:
        url = check(f"redis+sentinel://{places}/imc")
        async with contextlib.aclosing(redis_masters.connect(url)) as masters:
            assert await masters.run(key, lambda redis: cast(Any, redis).set(key, 1))
    finally:
        hung.resume()


async def test_sentinels_have_users_of_their_own(sentinels: PrivateSentinels, key: str) -> None:
    url = check(f"{sentinels.url}?sentinel_username=watcher&sentinel_password=s3cret")
    async with contextlib.aclosing(redis_masters.connect(url)) as masters:
        assert await masters.run(key, lambda redis: cast(Any, redis).set(key, 1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("/imc/0", "/other"), "no sentinel knows a master of the service other: 127.0.0.1:"),
        (("/imc/0", "/other"), "it does not watch this service"),
        (("/imc/0", "/imc?sentinel_username=watcher&sentinel_password=wr0ng"), "WRONGPASS"),
        (("127.0.0.1", "no-such-name.invalid"), "the name no-such-name.invalid does not resolve"),
    ],
)
async def test_what_is_said_when_no_master_is_known(
    sentinels: PrivateSentinels, change: tuple[str, str], words: str
) -> None:
    url = check(sentinels.url.replace(*change))
    async with contextlib.aclosing(redis_masters.connect(url)) as masters:
        with pytest.raises(NotConnected) as unknown:
            await masters.run("a", lambda redis: cast(Any, redis).get("a"))
    assert words in str(unknown.value)
    assert "wr0ng" not in str(unknown.value)
