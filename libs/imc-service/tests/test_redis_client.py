import asyncio
import contextlib
import gc
import secrets
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from imc_service.redis import client as redis_client
from imc_service.redis import connections
from imc_service.redis import masters as redis_masters
from imc_service.redis.errors import NotReplicated, was_not_run
from imc_service.redis.masters import Masters, Script
from imc_service.redis.url import check as redis_url_of
from imc_testkit.processes import free_port
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Deaf:
    """A Redis that takes an XADD and hangs up without a reply: the sender can't know whether it was done."""

    def __init__(self) -> None:
        self.appends = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await read_command(reader):
            if command[0] == b"XADD":
                self.appends += 1
                break
            writer.write(b"%1\r\n+proto\r\n:3\r\n" if command[0] == b"HELLO" else b"+OK\r\n")
        writer.close()


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    head = await reader.readline()
    parts: list[bytes] = []
    for _ in range(int(head[1:] or b"0")):
        length = int((await reader.readline())[1:])
        parts.append((await reader.readexactly(length + 2))[:-2])
    return parts


@pytest.fixture
async def server() -> AsyncGenerator[PrivateRedis]:
    """A Redis that a test may kill and hang."""
    async with private_redis("--repl-diskless-sync-delay", "0") as server:
        yield server


async def test_a_command_whose_reply_was_lost_is_not_sent_again() -> None:
    deaf = Deaf()
    async with await asyncio.start_server(deaf.answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with redis_client.connect(f"redis://127.0.0.1:{port}") as redis:
            with pytest.raises(RedisConnectionError):
                await redis.xadd("log", {"a": "b"})
    assert deaf.appends == 1


async def test_a_killed_connection_raises_and_the_next_command_connects_anew(
    redis: Redis, redis_url: str, app_id: str
) -> None:
    async with redis_client.connect(redis_url) as client:
        killed: Any = await client.client_id()
        waiting = asyncio.ensure_future(client.blpop([app_id], timeout=0))  # pyright: ignore
        while not await redis.client_kill_filter(_id=killed):  # pyright: ignore
            pass
        with pytest.raises(RedisConnectionError):
            await waiting
        assert await client.ping()  # pyright: ignore


async def test_a_reply_has_a_deadline(redis_url: str, app_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "REPLY_SECONDS", 0.1)
    async with redis_client.connect(redis_url) as client:
        with pytest.raises(RedisTimeoutError):
            await client.blpop([app_id], timeout=5)  # pyright: ignore


async def test_commands_one_after_another_are_of_one_connection(redis_url: str) -> None:
    async with redis_client.connect(redis_url) as client:
        ids: Any = {await client.client_id() for _ in range(10)}
        assert len(ids) == 1


async def test_reachable_says_why_not(server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_client, "REPLY_SECONDS", 0.2)
    async with redis_client.connect(server.url) as client:
        assert await redis_client.reachable(client) is None
        server.pause()
        assert (
            await redis_client.reachable(client)
            == f"Redis is out of reach: Timeout reading from 127.0.0.1:{server.port}"
        )
        server.resume()
        assert await redis_client.reachable(client) is None
        await server.kill()

        async def reason() -> bool:
            # The end of the old connection comes when it comes: until then a command goes out on it.
            return "Connect call failed" in str(await redis_client.reachable(client))

        await wait_until(reason)
        await server.start()
        assert await redis_client.reachable(client) is None


@pytest.mark.parametrize(
    "password", ["密码", "a@b:c/d?e#f g%41[h]", "＠／％", "\u3000", "100%", "%25", "\U0001f511"]
)
@pytest.mark.parametrize("escape", [True, False])
async def test_any_password_may_stand_in_the_url(
    redis: Redis, redis_url: str, password: str, escape: bool
) -> None:
    if not escape and set(password) & set("/?#[%"):
        pytest.skip("these have to be escaped, and a URL where they are not is refused")
    user = f"user-{secrets.token_hex(4)}-名"
    await redis.execute_command("ACL", "SETUSER", user, "on", f">{password}", "+ping")  # pyright: ignore
    written = quote(password, safe="") if escape else password
    at = redis_url.partition("//")[2]
    try:
        url = redis_url_of(f"redis://{quote(user)}:{written}@{at}")
        async with redis_client.connect(url) as client:
            assert await client.ping()  # pyright: ignore
    finally:
        await redis.execute_command("ACL", "DELUSER", user)  # pyright: ignore


@pytest.fixture
def short_path() -> Generator[Path]:
    """A folder whose path leaves room: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="imc-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("kind", ["ipv6", "unix"])
async def test_a_server_may_be_at_an_address_of_any_kind(short_path: Path, kind: str) -> None:
    path = short_path / "a folder#with @all%41"
    path.mkdir()
    options = ["--bind", "127.0.0.1", "::1", "--unixsocket", str(path / "redis.sock")]
    async with private_redis(*options) as server:
        urls = {
            "ipv6": f"redis://[::1]:{server.port}/3",
            "unix": f"unix://{quote(str(path / 'redis.sock'))}?db=3",
        }
        async with redis_client.connect(redis_url_of(urls[kind])) as client:
            assert await redis_client.reachable(client) is None
            assert Masters(client).database == 3


async def test_a_url_without_a_number_means_the_first_database() -> None:
    async with redis_client.connect("redis://127.0.0.1:1") as client:
        assert Masters(client).database == 0


async def test_a_name_that_does_not_resolve_leaves_no_future_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.0001)  # given up before the answer is there

    async def connect_in_vain() -> list[str]:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(str(context)))
        async with redis_client.connect("redis://no-such-name.invalid") as client:
            for _ in range(5):
                words = await redis_client.reachable(client)
                assert "no-such-name.invalid" in str(words)
            # A look-up that is waited for ends after those that were given up.
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().getaddrinfo("no-such-name.invalid", 1)
        gc.collect()
        await asyncio.sleep(0)
        return reported

    assert await asyncio.to_thread(uvloop.run, connect_in_vain()) == []


async def test_a_server_that_is_away_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the deadline of a reply has passed."""
    monkeypatch.setattr(redis_client, "REPLY_SECONDS", 600)
    async with redis_client.connect(f"redis://127.0.0.1:{free_port()}") as client:
        async with asyncio.timeout(60):
            assert "Connect call failed" in str(await redis_client.reachable(client))


@pytest.fixture
async def replica(server: PrivateRedis) -> AsyncGenerator[PrivateRedis]:
    """A replica of ``server``, in step with it."""
    async with private_redis("--replicaof", "127.0.0.1", str(server.port)) as replica:
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]

            async def is_in_step() -> bool:
                return await redis.wait(1, 100) == 1  # pyright: ignore

            await redis.set("a", 1)
            await wait_until(is_in_step)
        yield replica


async def test_a_script_waits_for_as_many_replicas_as_it_is_told(
    server: PrivateRedis, replica: PrivateRedis
) -> None:
    async with contextlib.aclosing(redis_masters.connect(server.url)) as masters:
        script = Script(masters, "return redis.call('INCR', KEYS[1])")
        assert await script.replicated(["a"], replicas=1, milliseconds=4000) == 2
        async with redis_client.connect(replica.url) as at_replica:
            assert await at_replica.get("a") == b"2"
        replica.pause()
        with pytest.raises(NotReplicated, match="0 of 1 replicas have it after 100 ms") as unknown:
            await script.replicated(["a"], replicas=1, milliseconds=100)
        assert not was_not_run(unknown.value)
        assert await masters.run("a", lambda redis: redis.get("a")) == b"3"
        replica.resume()
        assert await script.replicated(["a"], replicas=1, milliseconds=4000) == 4


async def test_a_script_that_may_not_wait_was_run_all_the_same(server: PrivateRedis) -> None:
    """What is refused is to wait, not to write: it is not said that nothing was done."""
    async with redis_client.connect(server.url) as redis:
        rights = ("~*", "+evalsha", "+script|load", "+incr")
        await redis.execute_command("ACL", "SETUSER", "writer", "on", ">pw", *rights)  # pyright: ignore
        url = server.url.replace("://", "://writer:pw@").removesuffix("/0")
        async with contextlib.aclosing(redis_masters.connect(url)) as masters:
            script = Script(masters, "return redis.call('INCR', KEYS[1])")
            with pytest.raises(NotReplicated, match=r"NOPERM .* 'wait' command") as refused:
                await script.replicated(["a"], replicas=1, milliseconds=100)
        assert not was_not_run(refused.value)
        assert await redis.get("a") == b"1"
