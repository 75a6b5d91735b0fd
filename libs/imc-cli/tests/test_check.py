"""What `imc check` finds: real servers as they should be, and with each fault that it knows."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from imc_cli.checks import database_servers, redis_servers
from imc_cli.checks.settings import slips
from imc_testkit.command import Imc
from imc_testkit.redis_cluster import private_cluster
from imc_testkit.redis_sentinels import private_sentinels
from imc_testkit.servers import PrivateRedis
from imc_testkit.tokens import JWT

pytestmark = pytest.mark.programs

GOOD = {
    "redis_version": "7.2.4",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "maxmemory_policy": "noeviction",
    "role": "master",
    "cluster_enabled": 0,
    "used_memory": 1_000_000,
    "maxmemory": 0,
    "connected_slaves": 0,
}


def findings(imc: Imc, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    done = imc.run("check", "--json", *arguments)
    assert (done.returncode, done.stderr) == (code, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def levels(found: list[dict[str, Any]]) -> dict[str, str]:
    return {each["what"]: each["level"] for each in found}


def test_an_installation_as_it_should_be(alone: Imc, redis_url: str, database_url: str) -> None:
    stores = alone.with_(IMC_REDIS_URL=redis_url, IMC_DATABASE_URL=database_url)
    found = findings(stores)
    assert {each["level"] for each in found} == {"ok"}
    looked_at = {
        "clock",
        "version",
        "persistence",
        "server",
        "memory",
        "replicas",
        "fsync",
        "shards",
        "reach",
    }
    looked_at |= {"tables", "collation", "writes", "rights of command-api", "rights of query-api"}
    assert looked_at <= levels(found).keys()
    table = stores("check")
    assert table.startswith("\tPART\tWHAT\tFOUND\tCURE\n")


def test_the_settings_of_a_process_are_read_as_it_would(
    alone: Imc, redis_url: str, database_url: str
) -> None:
    stores = alone.with_(IMC_REDIS_URL=redis_url, IMC_DATABASE_URL=database_url)
    assert levels(findings(stores.with_(**JWT), "command-api", "standalone"))["command-api"] == "ok"
    found = findings(stores, "command-api", "push-node", code=1)
    faults = [each["found"] for each in found if each["part"] == "settings"]
    assert any(fault.startswith("IMC_AUTH: is missing") for fault in faults)
    assert any(fault.startswith("IMC_COMMAND_API_URL: is missing") for fault in faults)
    assert "rights of projector" not in levels(found)


def test_a_slip_in_a_name_is_told() -> None:
    [found] = slips({"IMC_REDIS_UR": "x", "IMC_SOMETHING_ELSE": "y", "IMC_URL": "z", "IMC_PORT": "1"})
    assert (found.what, found.level, found.cure) == ("IMC_REDIS_UR", "warning", "did you mean IMC_REDIS_URL?")


def test_nothing_to_check_is_told(alone: Imc) -> None:
    assert "set IMC_REDIS_URL and IMC_DATABASE_URL" in alone.refused("check", code=2)
    assert "'pull-node' is not one of" in alone.refused("check", "pull-node", code=2)
    found = findings(alone.with_(IMC_REDIS_URL="http://h"), code=1)
    assert found[0]["found"].startswith("IMC_REDIS_URL: must be redis://")


@pytest.fixture
async def unsafe_redis() -> AsyncGenerator[PrivateRedis]:
    server = PrivateRedis("--appendonly", "no", "--maxmemory-policy", "allkeys-lru", "--maxmemory", "64mb")
    await server.start()
    yield server
    await server.close()


def test_a_redis_that_loses_messages_is_told(alone: Imc, unsafe_redis: PrivateRedis) -> None:
    stores = alone.with_(IMC_REDIS_URL=unsafe_redis.url, IMC_ACK_REPLICAS="2")
    found = {each["what"]: each for each in findings(stores, code=1)}
    assert found["persistence"]["cure"] == "set appendonly yes"
    assert found["server"]["cure"] == "set maxmemory-policy noeviction"
    assert "sends wait for 2" in found["replicas"]["found"]
    assert found["shards"]["found"].startswith("empty")


async def test_a_user_that_may_too_little_is_told(alone: Imc, redis: Any, redis_url: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "narrow", "on", ">word", "~*", "+time", "+info", "+get")
    try:
        narrow = alone.with_(IMC_REDIS_URL=redis_url.replace("redis://", "redis://narrow:word@"))
        found = {each["what"]: each for each in findings(narrow, code=1)}
        assert found["rights of projector"]["cure"].endswith("deploy/redis/users.acl")
        assert "NOPERM" in found["rights of command-api"]["found"]
        wrong = findings(
            alone.with_(IMC_REDIS_URL=redis_url.replace("redis://", "redis://narrow:no@")), code=1
        )
        assert "put the user and the password" in wrong[0]["cure"]
    finally:
        await redis.execute_command("ACL", "DELUSER", "narrow")


def test_a_database_without_tables_is_told(alone: Imc, empty_database_url: str) -> None:
    found = {
        each["what"]: each for each in findings(alone.with_(IMC_DATABASE_URL=empty_database_url), code=1)
    }
    assert (found["tables"]["level"], "imc migrate" in found["tables"]["cure"]) == ("wrong", True)
    assert found["reach"]["level"] == "ok"


def test_servers_that_are_away_are_told(alone: Imc, tmp_path: Path) -> None:
    away = {"IMC_REDIS_URL": "redis://127.0.0.1:1", "IMC_DATABASE_URL": "mysql://imc@127.0.0.1:1/imc"}
    found = findings(alone.with_(**away, IMC_READ_DATABASE_URL=f"sqlite:///{tmp_path}/none/imc.db"), code=1)
    assert [each["what"] for each in found] == ["reach", "reach", "reach"]
    assert all(each["cure"] for each in found)
    file = tmp_path / "imc.db"
    [none] = findings(alone.with_(IMC_DATABASE_URL=f"sqlite:///{file}"), code=1)
    assert (none["level"], file.exists()) == ("wrong", False)
    several = "redis+sentinel://127.0.0.1:1,127.0.0.1:2/imc/0"
    assert len(findings(alone.with_(IMC_REDIS_URL=several), code=1)) >= 3


async def test_every_master_of_a_cluster_is_checked(alone: Imc) -> None:
    async with private_cluster() as cluster:
        await cluster.healthy()
        stores = alone.with_(IMC_REDIS_URL=cluster.url, IMC_ACK_REPLICAS="1")
        found = await asyncio.to_thread(findings, stores)
        assert {each["level"] for each in found} <= {"ok", "warning"}
        assert "3 masters, all slots" in [each["found"] for each in found]
        ports = {str(master.port) for master in await cluster.masters()}
        parts = {each["part"].rpartition(":")[2] for each in found if each["what"] == "rights of projector"}
        assert parts == ports
        [node, *_] = await cluster.masters()
        alone_node = alone.with_(IMC_REDIS_URL=node.url)
        found = await asyncio.to_thread(findings, alone_node, code=1)
        assert any("give its URL as redis+cluster://" in each["found"] for each in found)


async def test_every_sentinel_is_asked(alone: Imc) -> None:
    async with private_sentinels() as sentinels:
        await sentinels.healthy()
        found = await asyncio.to_thread(findings, alone.with_(IMC_REDIS_URL=sentinels.url))
        named = {each["found"] for each in found if each["what"] == "master"}
        assert named == {f"it names 127.0.0.1:{(await sentinels.master()).port}"}
        other = sentinels.url.replace("/imc", "/other", 1)
        found = await asyncio.to_thread(findings, alone.with_(IMC_REDIS_URL=other), code=1)
        assert {each["level"] for each in found if each["what"] == "master"} == {"wrong"}


@pytest.mark.parametrize(
    ("change", "what", "level"),
    [
        ({}, "version", "ok"),
        ({"redis_version": "6.2.1"}, "version", "wrong"),
        ({"aof_enabled": 0}, "persistence", "warning"),
        ({"aof_last_write_status": "err"}, "persistence", "wrong"),
        ({"maxmemory_policy": "volatile-lru"}, "server", "wrong"),
        ({"role": "slave"}, "server", "wrong"),
        ({"cluster_enabled": 1}, "server", "wrong"),
        ({"maxmemory": 1_100_000}, "memory", "warning"),
        ({"maxmemory": 9_000_000}, "memory", "ok"),
    ],
)
def test_what_info_tells_is_judged(change: dict[str, Any], what: str, level: str) -> None:
    found = redis_servers.of_info("redis", {**GOOD, **change}, 0, is_in_cluster=False)
    by_name = {each.what: each.level for each in found}
    assert by_name[what] == level
    assert {each for name, each in by_name.items() if name != what} == {"ok"}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("10.11.6-MariaDB-1", (10, 11)), ("5.5.5-10.6.1-MariaDB", (10, 6)), ("8.0.11-TiDB-v7.5.0", (8, 0))],
)
def test_versions_are_read(text: str, numbers: tuple[int, int]) -> None:
    assert database_servers.of_version(text) == numbers
