"""A Redis that is no use: a line in the log, the reason in /readyz, and ready by itself once it is mended."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from imc_testkit.child import free_port
from imc_testkit.processes import Process
from imc_testkit.proxy import tcp_proxy
from imc_testkit.servers import private_redis
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

TELL_SECONDS = 30.0
"""A machine with other work may take so long. `RedisHealth` looks each second, and `/readyz` asks anew."""

SCRIPTS = ("imc-command-api", "imc-projector", "imc-push-node", "imc-standalone")


@pytest.fixture(autouse=True)
def tables(migrated_sqlite: Path, tmp_path: Path) -> None:
    """The database that `started` names."""
    shutil.copy(migrated_sqlite, tmp_path / "imc.db")


@contextlib.asynccontextmanager
async def started(script: str, redis_url: str, folder: Path) -> AsyncGenerator[Process]:
    """A process with this Redis, as soon as it answers at all."""
    env = {
        **OFF,
        "IMC_REDIS_URL": redis_url,
        "IMC_DATABASE_URL": f"sqlite:///{folder / 'imc.db'}",
        "IMC_COMMAND_API_URL": "http://127.0.0.1:1",
        "IMC_DATA_DIR": str(folder),
        "IMC_LOG_LEVEL": "info",
    }
    async with Process(script, env) as process:

        async def answers() -> bool:
            return await status(process, "/livez") == 200

        await wait_until(answers, 60)
        yield process


async def status(process: Process, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(process.url + path)).status_code
        except httpx.TransportError:
            return 0


async def wait_until_told(process: Process, words: str) -> None:
    async def tells() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            reply = await client.get(process.url + "/readyz")
        return reply.status_code == 503 and words in reply.text

    await wait_until(tells, TELL_SECONDS, what=f"{process.script} to say {words!r}")


async def wait_until_up(redis: Redis) -> None:
    async def is_up() -> bool:
        return "cluster_state:ok" in str(await redis.execute_command("CLUSTER", "INFO"))  # pyright: ignore

    await wait_until(is_up, 60)


def lines_with(process: Process, words: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in process.lines if words in line]


NO_NAME = "fe80::1%no-such-interface"
"""No name server is asked for it, which might be slow, or limit how often it is asked."""


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_name_that_does_not_resolve_is_told_once(script: str, tmp_path: Path):
    async with started(script, f"redis://[{NO_NAME}]:6379/0", tmp_path) as process:
        await wait_until_told(process, f"the name {NO_NAME} does not resolve")
        # Tries enough for each to have been told again, if it were.
        for _ in range(5):
            await wait_until_told(process, f"the name {NO_NAME} does not resolve")
        events = [(line["event"], line.get("part")) for line in lines_with(process, "does not resolve")]
        assert len(events) == len(set(events)), events
        work = "command-api" if script == "imc-standalone" else script[4:]
        assert (f"the work of {work} with Redis fails", None) in events
        assert "never retrieved" not in process.log
        assert "Traceback" not in process.log


@pytest.mark.parametrize("script", SCRIPTS)
async def test_a_node_of_a_cluster_is_told(script: str, tmp_path: Path):
    async with (
        private_redis("--cluster-enabled", "yes") as server,
        started(script, server.url, tmp_path) as process,
    ):
        await wait_until_told(process, "CLUSTERDOWN Hash slot not served")
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            # All slots are this node's: nothing is refused, until another node joins.
            await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")  # pyright: ignore
            await wait_until_up(redis)
        await wait_until_told(process, "Redis is a node of a cluster")


async def test_a_node_that_redirects_is_told(tmp_path: Path):
    async with (
        private_redis("--cluster-enabled", "yes") as server,
        private_redis("--cluster-enabled", "yes") as other,
    ):
        async with Redis.from_url(server.url) as redis, Redis.from_url(other.url) as at_other:  # pyright: ignore[reportUnknownMemberType]
            address = ("127.0.0.1", str(other.port), str(other.cluster_port))
            await redis.execute_command("CLUSTER", "MEET", *address)  # pyright: ignore
            await at_other.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")  # pyright: ignore
            await wait_until_up(redis)
        async with contextlib.AsyncExitStack() as stack:
            for script in SCRIPTS:
                folder = tmp_path / script
                folder.mkdir()
                process = await stack.enter_async_context(started(script, server.url, folder))
                await wait_until_told(process, "MOVED ")


@pytest.mark.parametrize("script", SCRIPTS)
async def test_full_hung_and_away_are_told_and_pass(script: str, tmp_path: Path):
    async with (
        private_redis("--maxmemory-policy", "noeviction") as server,
        started(script, server.url, tmp_path) as process,
    ):
        await process.ready()
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            if script != "imc-projector":  # which goes on where there is no room, and makes some
                await redis.config_set("maxmemory", "1")  # pyright: ignore
                await wait_until_told(process, "OOM command not allowed")
                await redis.config_set("maxmemory", "0")  # pyright: ignore
                await process.ready(TELL_SECONDS)
        server.pause()
        await wait_until_told(process, "Redis is out of reach: no answer in time")
        server.resume()
        await process.ready(TELL_SECONDS)
        await server.kill()
        await wait_until_told(process, "Redis is out of reach")
        await server.start()
        await process.ready(TELL_SECONDS)
        assert len(lines_with(process, "with Redis works again")) >= 2


async def test_what_the_server_wants_first_is_told(tmp_path: Path):
    """A password, another one, and no connections from elsewhere."""
    async with (
        private_redis("--requirepass", "right") as server,
        tcp_proxy("127.0.0.1", server.port) as proxy,
    ):
        async with started("imc-command-api", f"redis://127.0.0.1:{proxy.port}", tmp_path) as process:
            await wait_until_told(process, "NOAUTH")
        async with started("imc-push-node", f"redis://:wrong@127.0.0.1:{proxy.port}", tmp_path) as process:
            await wait_until_told(process, "WRONGPASS invalid username-password pair")
            async with Redis.from_url(f"redis://:right@127.0.0.1:{server.port}") as redis:  # pyright: ignore[reportUnknownMemberType]
                await redis.config_set("requirepass", "wrong")  # pyright: ignore
            await process.ready(TELL_SECONDS)
            assert '"wrong"' not in process.log


async def test_what_is_less_than_a_fault_is_told_once(tmp_path: Path):
    """No append-only file; INFO that may not be read."""
    async with (
        private_redis("--appendonly", "no") as server,
        started("imc-command-api", server.url, tmp_path) as process,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        await process.ready()
        figures = (await http.get(process.url + "/metrics")).text
        assert "imc_command_api_redis_not_persistent 1.0" in figures
        assert "imc_command_api_redis_may_evict 0.0" in figures
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.config_set("maxmemory-policy", "allkeys-random")  # pyright: ignore
            await wait_until_told(process, "maxmemory-policy is allkeys-random")
            assert "imc_command_api_redis_may_evict 1.0" in (await http.get(process.url + "/metrics")).text
            await redis.execute_command("ACL", "SETUSER", "default", "-info")  # pyright: ignore
            await process.ready(TELL_SECONDS)
        assert len(lines_with(process, "no append-only file")) == 1
        assert len(lines_with(process, "it can't be known whether Redis may evict")) == 1


async def test_protected_mode_is_told(tmp_path: Path):
    """As it answers to whoever comes from another machine: a server that says so stands for it."""
    denied = b"-DENIED Redis is running in protected mode because protected mode is enabled.\r\n"

    async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(denied)
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(deny, "127.0.0.1", port), contextlib.AsyncExitStack() as stack:
        for script in SCRIPTS:
            folder = tmp_path / script
            folder.mkdir()
            process = await stack.enter_async_context(started(script, f"redis://127.0.0.1:{port}", folder))
            await wait_until_told(process, "DENIED Redis is running in protected mode")


async def test_no_words_of_a_server_show_a_password(tmp_path: Path):
    """Servers quote what they do not understand."""

    async def quote(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(
                b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'u' 's3cret' \r\n"
            )
        writer.close()

    port = free_port()
    async with (
        await asyncio.start_server(quote, "127.0.0.1", port),
        started("imc-command-api", f"redis://u:s3cret@127.0.0.1:{port}", tmp_path) as process,
    ):
        await wait_until_told(process, "unknown command 'HELLO'")
        assert "s3cret" not in process.log
