import asyncio
from typing import Any

import pytest
from imc_service.redis import client as redis_client
from imc_service.redis.errors import (
    NotConnected,
    NotReplicated,
    code_of,
    leads_elsewhere,
    was_not_run,
    words_of,
)
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import MovedError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as TimedOut


@pytest.mark.parametrize(
    ("error", "elsewhere", "not_run", "words"),
    [
        (ReadOnlyError("You can't.", status_code="READONLY"), True, True, "READONLY You can't."),
        (MovedError("3999 h:6381", status_code="MOVED"), True, True, "MOVED 3999 h:6381"),
        (ResponseError("MISCONF Errors writing"), True, True, "MISCONF Errors writing"),
        (ResponseError("UNBLOCKED force unblock"), True, False, "UNBLOCKED force unblock"),
        (
            ResponseError("The user executing the script can't", status_code="ERR"),
            False,
            False,
            "ERR The user",
        ),
        (ResponseError("ACL failure in script", status_code="NOPERM"), True, False, "NOPERM ACL failure"),
        (ResponseError("WRONGTYPE Operation"), False, False, "WRONGTYPE Operation"),
        (NotReplicated("0 of 1 replicas have it"), False, False, "0 of 1 replicas have it"),
        (NotConnected("the name h does not resolve"), False, True, "the name h does not resolve"),
        (ConnectionFailed("Connection closed by server."), False, False, "Connection closed by server."),
        (TimedOut("Timeout reading from h:1"), False, False, "Timeout reading from h:1"),
        (
            ConnectionResetError(104, "reset by peer"),
            False,
            False,
            "ConnectionResetError: [Errno 104] reset by",
        ),
        (TimeoutError(), False, False, "TimeoutError"),
    ],
)
def test_what_an_error_means(error: Exception, elsewhere: bool, not_run: bool, words: str) -> None:
    assert (leads_elsewhere(error), was_not_run(error)) == (elsewhere, not_run)
    assert words_of(error).startswith(words)


@pytest.mark.parametrize("transaction", [True, False])
async def test_the_words_are_the_servers_and_show_no_command(
    redis: Redis, redis_url: str, transaction: bool
) -> None:
    await redis.execute_command(
        "ACL", "SETUSER", "reader", "on", ">reader", "~*", "+@read", "+multi", "+exec"
    )  # pyright: ignore
    address = redis_url.partition("//")[2]
    try:
        async with redis_client.connect(f"redis://reader:reader@{address}") as client:
            pipeline = client.pipeline(transaction=transaction)
            pipeline.set("a (key) of pipeline caused error: x", "what a user wrote")
            with pytest.raises(RedisError) as refused:
                await pipeline.execute()
        assert words_of(refused.value) == "NOPERM this user has no permissions to run the 'set' command"
        assert was_not_run(refused.value)
    finally:
        await redis.execute_command("ACL", "DELUSER", "reader")  # pyright: ignore


async def test_words_are_one_short_line() -> None:
    assert words_of(ResponseError("BUSY one\r\n two  three " + "x" * 1000)).startswith("BUSY one two three x")
    assert len(words_of(ResponseError("x" * 1000))) <= 210
    secret = ResponseError(
        "unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `s3cret`", status_code="ERR"
    )
    assert words_of(secret) == "ERR unknown command `HELLO`"


async def refusal(server: PrivateRedis) -> RedisError | None:
    """What the server says instead of writing."""
    async with redis_client.connect(server.url) as redis:
        try:
            await redis.set("written", "x")
        except RedisError as error:
            return error
    return None


def assert_refused(error: RedisError | None, code: str) -> None:
    assert error is not None
    assert code_of(error) == code
    assert (leads_elsewhere(error), was_not_run(error)) == (True, True)
    assert words_of(error).startswith(f"{code} ")


async def test_a_server_that_can_not_save_refuses_to_write() -> None:
    async with private_redis("--save", "3600", "1") as server:
        (server.folder / "dump.rdb").mkdir()  # so the file can't be put in its place
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.bgsave()  # pyright: ignore

        async def is_refused() -> RedisError | None:
            return await refusal(server)

        assert_refused(await wait_until(is_refused), "MISCONF")


async def test_a_server_that_loads_its_data_refuses_to_write() -> None:
    # A thousandth of a second for each key; what comes meanwhile is looked at after each 1,024.
    async with private_redis("--key-load-delay", "1000") as server:
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            pipeline: Any = redis.pipeline(transaction=False)
            for number in range(4000):
                pipeline.set(f"key {number}", "x")
            await pipeline.execute()
        await server.kill()
        starting = asyncio.create_task(server.start())

        async def is_loading() -> RedisError | None:
            error = await refusal(server)
            return error if error is not None and code_of(error) is not None else None

        try:
            assert_refused(await wait_until(is_loading), "LOADING")
        finally:
            await starting
        assert await refusal(server) is None


async def test_a_replica_without_its_master_refuses_to_answer() -> None:
    async with private_redis(
        "--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "no", "--replica-read-only", "no"
    ) as server:
        assert_refused(await refusal(server), "MASTERDOWN")
