import pytest
from imc_bench.http.redis_alone import commands_in, play
from imc_bench.rows import InvalidRun
from imc_contracts import names
from imc_testkit.servers import private_redis
from redis.asyncio import Redis


def command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def test_commands_are_separated_whatever_their_words_contain() -> None:
    written = [command(b"EVALSHA", b"a\r\nb", b""), command(b"PING"), command(b"SET", b"*2", b"$3\r\n")]
    found = list(commands_in(b"".join(written)))
    assert [raw for _, raw in found] == written
    assert [words for words, _ in found] == [
        [b"EVALSHA", b"a\r\nb", b""],
        [b"PING"],
        [b"SET", b"*2", b"$3\r\n"],
    ]


async def test_missing_entries_after_a_replay_are_found(app_id: str) -> None:
    append = command(
        b"EVAL", b"return {redis.call('XADD', KEYS[1], '*', 'k', 'v')}", b"1", names.log(app_id).encode()
    )
    async with private_redis() as server, Redis.from_url(server.url) as redis:
        figures = await play(redis, server.process.pid, app_id, [append] * 9, 1)
        assert figures["messages/s"] > 0
        with pytest.raises(InvalidRun, match="18 messages were appended, 9 are in the log"):
            await play(redis, server.process.pid, app_id, [append] * 9, 2)
        with pytest.raises(InvalidRun, match="Redis answered"):
            await play(redis, server.process.pid, app_id, [command(b"PING")], 1)
