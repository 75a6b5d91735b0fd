"""Whatever is wrong with the database: who needs it is not ready, says why in its words, and heals."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pymysql.err
import pytest
from imc_command_api.migrations import migrate
from imc_contracts import names
from imc_testkit import databases
from imc_testkit.disks import NotPermitted, small_disk
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

NOTICED_SECONDS = 30
"""A machine with other work may take so long. Each answer of `/readyz` asks anew, and no check takes longer
than `health.CHECK_SECONDS`: that keeps readiness within 5 seconds of a fault."""

PASSWORD = "secret-of-the-worker"
TABLES = (
    *("imc_message", "imc_notice", "imc_group", "imc_projection", "imc_heartbeat"),
    *("imc_erasure", "imc_schema_version"),
)
SCRIPTS = ("imc-projector", "imc-command-api", "imc-query-api", "imc-standalone")
WRITERS = ("imc-projector", "imc-command-api", "imc-standalone")
READERS = ("imc-query-api", "imc-standalone")
CONNECTIONS = 12

Fault = Callable[["Site"], AbstractAsyncContextManager[None]]


@dataclass
class Site:
    """A server, and the processes on it, which have an account of their own."""

    server: PrivateMariadb
    processes: dict[str, Process]

    async def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """As an administrator, in the database of the processes."""
        return await databases.run(self.server.url.replace("/mysql", "/imc"), *statements)

    async def cut(self) -> None:
        """End the connections of the processes: what they hold need not follow changes of an account."""
        async with databases.connect(self.server.url) as administrator:
            await cut(administrator)


async def cut(administrator: Any) -> None:
    """End the connections of the processes by a connection that may."""
    async with administrator.cursor() as cursor:
        await cursor.execute("SELECT id FROM information_schema.processlist WHERE user = 'worker'")
        for (number,) in await cursor.fetchall():
            with contextlib.suppress(pymysql.err.Error):  # it has ended by itself
                await cursor.execute(f"KILL {number}")


@pytest.fixture(scope="module")
async def redis_server() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
async def server() -> AsyncGenerator[PrivateMariadb]:
    async with private_mariadb("--log-bin=bin", "--binlog-format=ROW") as server:
        await prepare(server)
        yield server


async def prepare(server: PrivateMariadb) -> str:
    """Make the database and the account; its URL."""
    url = server.url.replace("/mysql", "/imc")
    await databases.run(server.url, "CREATE DATABASE imc")
    await asyncio.to_thread(migrate, url)
    await databases.run(
        url,
        f"CREATE USER worker@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        *(f"GRANT SELECT, INSERT, UPDATE ON {table} TO worker@'127.0.0.1'" for table in TABLES),
    )
    return url


def of_worker(server: PrivateMariadb, database: str = "imc") -> str:
    return f"mysql://worker:{PASSWORD}@127.0.0.1:{server.port}/{database}"


def environment(redis_url: str, database_url: str) -> dict[str, str]:
    return {**OFF, "IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url, "IMC_LOG_LEVEL": "warning"}


@contextlib.asynccontextmanager
async def running(scripts: Sequence[str], env: dict[str, str]) -> AsyncGenerator[dict[str, Process]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {script: await stack.enter_async_context(Process(script, env)) for script in scripts}


@pytest.fixture(scope="module")
async def site(redis_server: PrivateRedis, server: PrivateMariadb) -> AsyncGenerator[Site]:
    async with running(SCRIPTS, environment(redis_server.url, of_worker(server))) as processes:
        for process in processes.values():
            await process.ready()
        yield Site(server, processes)


async def reasons(client: httpx.AsyncClient, process: Process) -> list[str]:
    """Why the process is not ready; none if it is."""
    reply = await client.get(process.url + "/readyz")
    assert (reply.status_code == 503) == ("reasons" in reply.json())
    return reply.json().get("reasons", [])


def told(process: Process, since: int) -> list[tuple[str, str, str | None]]:
    """What its log says of readiness from that line on: the event, the part, the reason."""
    events = [json.loads(line) for line in process.lines[since:]]
    return [
        (event["event"], event["part"], event.get("reason"))
        for event in events
        if event["event"] in ("not ready", "ready again")
    ]


def changing(*to_break: str, mend: Sequence[str], cut: bool = False) -> Fault:
    """A fault that statements bring about and take away."""

    @contextlib.asynccontextmanager
    async def fault(site: Site) -> AsyncGenerator[None]:
        await site.run(*to_break)
        if cut:
            await site.cut()
        try:
            yield
        finally:
            await site.run(*mend)
            if cut:
                await site.cut()

    return fault


def revoked(right: str, table: str) -> Fault:
    account = "worker@'127.0.0.1'"
    return changing(
        f"REVOKE {right} ON {table} FROM {account}", mend=[f"GRANT {right} ON {table} TO {account}"]
    )


def renamed(table: str, to_break: str, mend: str) -> Fault:
    return changing(f"ALTER TABLE {table} RENAME {to_break}", mend=[f"ALTER TABLE {table} RENAME {mend}"])


@contextlib.asynccontextmanager
async def full(site: Site) -> AsyncGenerator[None]:
    """All connections are others'. The administrator keeps one, and so can always take one from a process."""
    async with (
        databases.connect(site.server.url) as administrator,
        administrator.cursor() as cursor,
        contextlib.AsyncExitStack() as others,
    ):

        async def takes_all() -> bool:
            await cut(administrator)
            with contextlib.suppress(pymysql.err.OperationalError):
                while True:
                    await others.enter_async_context(databases.connect(site.server.url))
            return len(await reasons_of_all(site)) == len(SCRIPTS)

        await cursor.execute(f"SET GLOBAL max_connections = {CONNECTIONS}")
        try:
            await wait_until(takes_all, 60)
            yield
        finally:
            await cursor.execute("SET GLOBAL max_connections = 151")


async def reasons_of_all(site: Site) -> list[list[str]]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        found = await asyncio.gather(*(reasons(client, process) for process in site.processes.values()))
    return [some for some in found if some]


@contextlib.asynccontextmanager
async def hung(site: Site) -> AsyncGenerator[None]:
    site.server.pause()
    try:
        yield
    finally:
        site.server.resume()


@contextlib.asynccontextmanager
async def killed(site: Site) -> AsyncGenerator[None]:
    await site.server.kill()
    try:
        yield
    finally:
        await site.server.start()


FAULTS: dict[str, tuple[Fault, str, Sequence[str]]] = {
    "read-only": (
        changing("SET GLOBAL read_only = 1", mend=["SET GLOBAL read_only = 0"]),
        "1290 The MariaDB server is running with the --read-only option",
        WRITERS,
    ),
    "a table is missing": (
        changing("RENAME TABLE imc_group TO away", mend=["RENAME TABLE away TO imc_group"]),
        "1146 Table 'imc.imc_group' doesn't exist",
        SCRIPTS,
    ),
    "a column is missing": (
        renamed("imc_message", "COLUMN content TO body", "COLUMN body TO content"),
        "1054 Unknown column 'content'",
        SCRIPTS,
    ),
    "a column too many": (
        changing(
            "ALTER TABLE imc_notice ADD COLUMN x INT NOT NULL",
            mend=["ALTER TABLE imc_notice DROP COLUMN x"],
        ),
        "1364 Field 'x' doesn't have a default value",
        WRITERS,
    ),
    "an index is missing": (
        # No other name may begin with it: a hint finds an index by the beginning of its name.
        renamed(
            "imc_message", "INDEX imc_message_user_group TO away", "INDEX away TO imc_message_user_group"
        ),
        "1176 Key 'imc_message_user_group' doesn't exist",
        READERS,
    ),
    "no INSERT": (revoked("INSERT", "imc_message"), "1142 INSERT command denied", WRITERS),
    "no UPDATE": (revoked("UPDATE", "imc_group"), "1142 UPDATE command denied", WRITERS),
    "no SELECT": (revoked("SELECT", "imc_notice"), "1142 SELECT command denied", SCRIPTS),
    "another password": (
        changing(
            "ALTER USER worker@'127.0.0.1' IDENTIFIED BY 'another'",
            mend=[f"ALTER USER worker@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"],
            cut=True,
        ),
        "1045 Access denied for user 'worker'@'127.0.0.1' (using password: YES)",
        SCRIPTS,
    ),
    "a binary log of statements": (
        changing("SET GLOBAL binlog_format = STATEMENT", mend=["SET GLOBAL binlog_format = ROW"], cut=True),
        "1665 Cannot execute statement: impossible to write to binary log",
        WRITERS,
    ),
    "small packets": (
        changing(
            "SET GLOBAL max_allowed_packet = 65536",
            mend=["SET GLOBAL max_allowed_packet = 16777216"],
            cut=True,
        ),
        "the server's max_allowed_packet is 65536: set it to 262144 or more",
        SCRIPTS,
    ),
    "too many connections": (full, "1040 Too many connections", SCRIPTS),
    "hung": (hung, "no answer in time", SCRIPTS),
    "killed": (killed, "out of reach (2003 Can't connect to MySQL server on '127.0.0.1'", SCRIPTS),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_who_needs_the_database_says_what_is_wrong_with_it_and_heals(fault: str, site: Site) -> None:
    bring_about, words, concerned = FAULTS[fault]
    before = {script: len(process.lines) for script, process in site.processes.items()}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        await wait_until(lambda: _all_ready(client, site), 60)
        async with bring_about(site):
            for script in concerned:
                process = site.processes[script]
                await wait_until(lambda process=process: _says(client, process, words), NOTICED_SECONDS)
                # Its log tells it a moment later. Other work that fails has lines of its own.
                await wait_until(
                    lambda process=process, script=script: _has_told(process, before[script], words), 20
                )
            for script in set(SCRIPTS) - set(concerned):
                assert await reasons(client, site.processes[script]) == []
        await wait_until(lambda: _all_ready(client, site), 60)
    for script, process in site.processes.items():
        await wait_until(lambda script=script, process=process: _is_over(process, before[script]), 20)
        lines = told(process, before[script])
        for part in {line[1] for line in lines}:
            events = [line for line in lines if line[1] == part]
            # A slow machine may fail once more while it heals: that is told, as the end of it is.
            assert all(one != next_ for one, next_ in itertools.pairwise(events)), "each is told once"
        assert any(line[0] == "not ready" for line in lines) == (script in concerned)
        assert PASSWORD not in process.log


async def _says(client: httpx.AsyncClient, process: Process, words: str) -> bool:
    return any(words in reason for reason in await reasons(client, process))


async def _all_ready(client: httpx.AsyncClient, site: Site) -> bool:
    return [await reasons(client, process) for process in site.processes.values()] == [[]] * len(SCRIPTS)


def _has_told(process: Process, since: int, words: str) -> bool:
    return any(event == "not ready" and words in (reason or "") for event, _, reason in told(process, since))


def _is_over(process: Process, since: int) -> bool:
    lines = told(process, since)
    failed = {part for event, part, _ in lines if event == "not ready"}
    return failed == {part for event, part, _ in lines if event == "ready again"}


async def test_a_command_api_takes_sends_meanwhile_and_who_routes_to_it_can_tell(site: Site) -> None:
    bring_about, words, _ = FAULTS["read-only"]
    process = site.processes["imc-command-api"]
    async with httpx.AsyncClient(base_url=process.url, trust_env=False, timeout=30) as client:
        async with bring_about(site):
            assert await _says(client, process, f"write-through: {words}")
            assert (await client.get("/readyz?exclude=write-through")).json() == {"status": "ready"}
            message = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
            sent = await client.post("/v1/commands/send-message", json=message)
            assert sent.status_code == 200
        await wait_until(lambda: _all_ready(client, site), 60)
        [(stored,)] = await wait_until(
            lambda: site.run("SELECT content FROM imc_message WHERE app_id = 'a'"), 20
        )
        assert stored == "c"


async def test_before_the_tables_are_there_and_after(
    redis_server: PrivateRedis, server: PrivateMariadb
) -> None:
    url = server.url.replace("/mysql", "/later")
    await databases.run(
        server.url, "CREATE DATABASE later", "GRANT SELECT, INSERT, UPDATE ON later.* TO worker@'127.0.0.1'"
    )
    scripts = ("imc-projector", "imc-command-api", "imc-query-api")
    async with (
        running(scripts, environment(redis_server.url, of_worker(server, "later"))) as processes,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        for process in processes.values():
            await wait_until(lambda process=process: _answers(client, process), 60)
            assert await _says(client, process, "1146 Table 'later.imc_")
        await asyncio.to_thread(migrate, url)
        for process in processes.values():
            await process.ready()


async def test_a_database_that_is_not_there(redis_server: PrivateRedis, server: PrivateMariadb) -> None:
    nowhere = server.url.replace("/mysql", "/nowhere")
    scripts = ("imc-projector", "imc-command-api", "imc-query-api")
    async with (
        running(scripts, environment(redis_server.url, nowhere)) as processes,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        for process in processes.values():
            await wait_until(lambda process=process: _answers(client, process), 60)
            assert await _says(client, process, "1049 Unknown database 'nowhere'")


async def _answers(client: httpx.AsyncClient, process: Process) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return (await client.get(process.url + "/livez")).status_code == 200
    return False


NAMELESS = """
import pwd
def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = nobody
"""


async def test_a_user_of_the_system_without_a_name_will_do(
    redis_server: PrivateRedis, server: PrivateMariadb, tmp_path: Path
) -> None:
    # As in a container: no entry in /etc/passwd, and neither USER nor HOME is set.
    (tmp_path / "sitecustomize.py").write_text(NAMELESS)
    env = environment(redis_server.url, of_worker(server)) | {"PYTHONPATH": str(tmp_path)}
    async with running(SCRIPTS, env) as processes:
        for process in processes.values():
            await process.ready()


async def test_a_full_disk_is_told_once_something_can_not_be_stored(app_id: str) -> None:
    with contextlib.ExitStack() as disks:
        try:
            disk = disks.enter_context(small_disk(250))
        except NotPermitted as reason:
            pytest.skip(str(reason))
        async with private_redis() as log, private_mariadb(folder=disk.folder) as server:
            url = await prepare(server)
            async with (
                running(["imc-projector"], environment(log.url, of_worker(server))) as processes,
                httpx.AsyncClient(trust_env=False, timeout=30) as client,
                Redis.from_url(log.url) as redis,  # pyright: ignore[reportUnknownMemberType]
            ):
                process = processes["imc-projector"]
                await process.ready()
                with disk.filled():
                    await _append(redis, app_id, 2000)
                    await wait_until(lambda: reasons(client, process), 60)
                await wait_until(lambda: _count(url, app_id, 2000), 60)
                await process.ready()
                assert await redis.xlen(names.dead_letters(app_id)) == 0


async def _append(redis: Redis, app_id: str, count: int) -> None:
    async with redis.pipeline() as pipe:
        for number in range(1, count + 1):
            message = {
                "messageId": str(number),
                "appId": app_id,
                "groupId": "g",
                "userId": "u",
                "content": "x" * 20_000,
                "createTime": 1_790_000_000_000,
                "recallTime": 0,
                "recallCause": None,
                "status": 1,
                "type": None,
            }
            pipe.xadd(names.log(app_id), {"k": "s", "v": json.dumps(message)})
        pipe.zadd(names.pending(names.shard_of(app_id)), {app_id: 0})
        await pipe.execute()


async def _count(url: str, app_id: str, wanted: int) -> bool:
    rows = await databases.run(url, f"SELECT COUNT(*) FROM imc_message WHERE app_id = '{app_id}'")
    return rows == [(wanted,)]
