import pytest
from imc_service.redis import client as redis_client
from imc_service.redis.errors import NotConnected, leads_elsewhere, was_not_run, words_of
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
