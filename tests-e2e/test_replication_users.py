"""Replicas and sentinels work with the users of the templates, and are refused nothing."""

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.programs import program
from imc_testkit.redis_cluster import PrivateCluster, reply_of
from imc_testkit.redis_sentinels import SERVICE, PrivateSentinels, private_sentinels
from imc_testkit.waiting import wait_until
from redis_users import ADMINISTRATOR, account, with_replication


@pytest.fixture
async def sentinels(tmp_path: Path) -> AsyncGenerator[PrivateSentinels]:
    """A master and its replica, which three sentinels watch. Each logs in as its own user."""
    file = tmp_path / "users.acl"
    file.write_text(with_replication())
    login = (f"sentinel auth-user {SERVICE} sentinel", f"sentinel auth-pass {SERVICE} sentinel")
    servers = (f"aclfile {file}", "masteruser replica", "masterauth replica")
    administrator = account(ADMINISTRATOR)
    async with private_sentinels(*login, server_settings=servers, account=administrator) as sentinels:
        yield sentinels


async def test_replicas_and_sentinels_are_refused_nothing(sentinels: PrivateSentinels):
    async def refused() -> list[Any]:
        return [entry for server in sentinels.servers for entry in await reply_of(server, "ACL", "LOG")]

    assert await refused() == []
    old = await sentinels.master()
    await old.kill()
    await sentinels.taken_over(old)
    await old.start()
    # Either may lead in the end: on a busy machine the sentinels may choose once more.
    await sentinels.healthy()
    assert await refused() == []


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncGenerator[PrivateCluster]:
    """A Redis Cluster whose replicas log in as ``replica``."""
    file = tmp_path / "users.acl"
    file.write_text(with_replication())
    options = ("--aclfile", str(file), "--masteruser", "replica", "--masterauth", "replica")
    cluster = PrivateCluster(*options, account=account(ADMINISTRATOR))
    try:
        await cluster.start()
        yield cluster
    finally:
        for node in cluster.nodes:
            await node.close()


async def test_a_cluster_works_with_them_and_the_operator_can_check_it(cluster: PrivateCluster):
    async def follow() -> bool:
        roles = [await node.command("ROLE") for node in cluster.nodes]
        return [role[3] for role in roles if role[0] == "slave"] == ["connected"] * 3

    await wait_until(follow, 60)
    check = ["--user", "operator", "--cluster", "check", f"127.0.0.1:{cluster.nodes[0].port}"]
    checked = await asyncio.to_thread(
        subprocess.run,
        [program("redis-cli"), *check],
        env={"REDISCLI_AUTH": "operator"},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    assert "All 16384 slots covered" in checked.stdout
    for node in cluster.nodes:
        assert await node.command("ACL", "LOG") == []
