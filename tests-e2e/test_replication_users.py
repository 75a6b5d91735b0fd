"""Replicas and sentinels work with the users of the templates, and are refused nothing."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from typing import Any, cast

import pytest
from imc_testkit.programs import program
from imc_testkit.redis_cluster import PrivateCluster
from imc_testkit.redis_sentinels import SERVICE, Sentinel, WatchedServer
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotConnected
from redis_users import ADMINISTRATOR, account, with_replication


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncGenerator[tuple[list[PrivateRedis], list[Sentinel]]]:
    """A master and its replica, which three sentinels watch. Each logs in as its own user."""
    file = tmp_path / "users.acl"
    file.write_text(with_replication())
    lines = (f"aclfile {file}", "masteruser replica", "masterauth replica")
    first = WatchedServer(*lines)
    second = WatchedServer(*lines, f"replicaof 127.0.0.1 {first.port}")
    login = (f"sentinel auth-user {SERVICE} sentinel", f"sentinel auth-pass {SERVICE} sentinel")
    sentinels = [Sentinel(first, *login) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for server in (first, second, *sentinels):
            stack.push_async_callback(server.close)
            await server.start()
        yield [first, second], sentinels


async def ask(server: PrivateRedis, *words: str) -> Any:
    """The reply to the administrator of a server."""
    url = f"redis://{account(ADMINISTRATOR)}@127.0.0.1:{server.port}/0"
    async with Redis.from_url(url, decode_responses=True) as redis:
        return await redis.execute_command(*words)


async def test_replicas_and_sentinels_are_refused_nothing(
    watched: tuple[list[PrivateRedis], list[Sentinel]],
):
    (first, second), sentinels = watched

    async def role(server: PrivateRedis) -> Any:
        with contextlib.suppress(NotConnected):  # a sentinel ends all connections when it changes a role
            return await ask(server, "ROLE")
        return None

    async def follows(server: PrivateRedis) -> bool:
        found = await role(server)
        return found is not None and found[0] == "slave" and found[3] == "connected"

    async def is_known_to_all() -> bool:
        for sentinel in sentinels:
            async with Redis.from_url(sentinel.url, decode_responses=True) as redis:
                state: Any = await redis.execute_command("SENTINEL", "MASTER", SERVICE)
            if (int(state["num-slaves"]), int(state["num-other-sentinels"])) != (1, 2):
                return False
        return True

    async def leads() -> bool:
        found = await role(second)
        return found is not None and found[0] == "master"

    await wait_until(lambda: follows(second))
    await wait_until(is_known_to_all, 60)
    await first.kill()
    await wait_until(leads, 60)
    await first.start()

    await wait_until(lambda: follows(first), 60)
    for server in (first, second):
        refused = await cast("Awaitable[list[dict[str, Any]]]", ask(server, "ACL", "LOG"))
        assert [(entry["username"], entry["object"]) for entry in refused] == []


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
