"""Tests that the users of people and of exporters may do what the runbook and the dashboard need."""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Awaitable, Mapping
from typing import Any, cast

import pytest
from imc_testkit import databases
from imc_testkit.programs import program
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis_users import ADMINISTRATOR

from deployment.code import ROOT
from deployment.exporters import Servers

TEXT = "\n".join(
    path.read_text() for path in sorted((ROOT / "docs/operations").glob("*.md")) if ".zh-CN" not in path.name
)
TYPED = dict.fromkeys(re.findall(r"`([A-Z][^`\n]*)`", TEXT))
REDIS = [
    each
    for each in TYPED
    if re.match(r"(INFO|LATENCY|CONFIG|SLOWLOG|ACL|CLIENT|MEMORY|BGREWRITEAOF)\b", each)
]
SQL = [each for each in TYPED if re.match(r"(SHOW|KILL)\b", each)]


def test_the_runbook_tells_people_what_to_type():
    assert {"INFO commandstats", "LATENCY LATEST", "CONFIG SET auto-aof-rewrite-percentage 0"} <= set(REDIS)
    assert {"SHOW PROCESSLIST", "SHOW REPLICA STATUS"} <= set(SQL)


@pytest.mark.parametrize("command", REDIS)
async def test_the_operator_may_type_what_the_runbook_says_to_redis(servers: Servers, command: str):
    async with Redis.from_url(servers.redis_url("operator")) as redis:
        await redis.execute_command(*shlex.split(command))


@pytest.mark.parametrize("statement", SQL)
async def test_the_operator_may_type_what_the_runbook_says_to_mariadb(servers: Servers, statement: str):
    async with databases.connect(servers.database_url("query-api")) as other:
        await databases.run(
            servers.database_url("operator"), re.sub(r"\bID\b", str(other.thread_id()), statement)
        )


async def test_the_operator_sees_what_others_do(servers: Servers):
    async with databases.connect(servers.database_url("query-api")):
        seen = await databases.run(servers.database_url("operator"), "SHOW PROCESSLIST")
    assert "imc-query-api" in {user for _, user, *_ in seen}


def dumped(servers: Servers) -> subprocess.CompletedProcess[str]:
    """Back the database up as the runbook says."""
    server = ("--no-defaults", "--host=127.0.0.1", f"--port={servers.mariadb.port}", "--user=imc-operator")
    return subprocess.run(
        [program("mariadb-dump", "mysqldump"), *server, "--single-transaction", "imc"],
        env={"MYSQL_PWD": "operator"},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_operator_can_back_up_with_triggers_and_mend_them(servers: Servers):
    table = "CREATE TABLE imc.kept (x INT)"
    trigger = "CREATE TRIGGER imc.refusing BEFORE INSERT ON imc.kept FOR EACH ROW SET NEW.x = 1"
    await databases.run(servers.mariadb.url, table, "INSERT INTO imc.kept VALUES (7)", trigger)
    dump = await asyncio.to_thread(dumped, servers)
    assert dump.returncode == 0, dump.stderr
    assert "(7)" in dump.stdout
    assert "refusing" in dump.stdout
    await databases.run(servers.database_url("operator"), "DROP TRIGGER imc.refusing")


async def test_the_exporters_are_refused_nothing_but_parts_of_commands(
    servers: Servers, exported: Mapping[str, str]
):
    async with Redis.from_url(servers.redis_url(ADMINISTRATOR), decode_responses=True) as redis:
        refused = await cast("Awaitable[list[dict[str, Any]]]", redis.acl_log())
    assert [entry["object"] for entry in refused if entry["username"] == "exporter"] == ["slowlog|get"]
    up = {
        sample.name: sample.value
        for text in exported.values()
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.endswith(("_up", "_collector_success"))
    }
    assert up["redis_up"] == up["mysql_up"] == 1
    failed = [
        line
        for line in exported["mysqld-exporter"].splitlines()
        if re.match(r"mysql_exporter_collector_success\{.*\} 0", line)
    ]
    assert failed == []
