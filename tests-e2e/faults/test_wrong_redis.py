"""A Redis that answers, and does not do the work: told within seconds by each process, healed by itself.

No process is told that the server behind the address has changed: connections to the old one stay.
"""

import contextlib
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx
import pytest
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.gateway import connect
from imc_testkit.processes import Process
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

TELL_SECONDS = 5.0
HEAL_SECONDS = 5.0
"""What docs/guarantees.md promises."""


@dataclass(frozen=True)
class Site:
    """An installation whose Redis is reached by way of ``proxy``; ``server`` is where that leads at first."""

    deployment: Deployment
    proxy: TcpProxy
    server: PrivateRedis

    @property
    def processes(self) -> list[Process]:
        """Those that work with Redis."""
        all_of = self.deployment
        return [*all_of.command_apis, *all_of.projectors, *all_of.push_nodes]


@contextlib.asynccontextmanager
async def a_site(database_url: str, *options: str) -> AsyncGenerator[Site]:
    """One process of each kind, with a Redis of their own that has ``options``."""
    async with private_redis(*options) as server, tcp_proxy("127.0.0.1", server.port) as proxy:
        url, one = f"redis://127.0.0.1:{proxy.port}/0", [Start()]
        async with separate(
            url, database_url, command_apis=one, projectors=one, query_apis=one, push_nodes=one
        ) as deployment:
            yield Site(deployment, proxy, server)


@pytest.fixture
async def site(database_url: str) -> AsyncGenerator[Site]:
    async with a_site(database_url) as site:
        yield site


@pytest.fixture(scope="module")
async def lasting_site(database_url: str) -> AsyncGenerator[Site]:
    """For faults that are mended in place."""
    async with a_site(database_url) as site:
        yield site


async def reasons(http: httpx.AsyncClient, process: Process) -> str:
    """What ``/readyz`` says: nothing if the process is ready."""
    reply = await http.get(process.url + "/readyz")
    return "" if reply.status_code == 200 else reply.text


async def wait_until_told(http: httpx.AsyncClient, processes: list[Process], words: str) -> None:
    for process in processes:

        async def tells(process: Process = process) -> bool:
            return words in await reasons(http, process)

        await wait_until(tells, TELL_SECONDS, what=f"{process.script} to say {words!r}")


async def wait_until_ready(http: httpx.AsyncClient, processes: list[Process]) -> None:
    for process in processes:

        async def is_ready(process: Process = process) -> bool:
            return not await reasons(http, process)

        await wait_until(is_ready, HEAL_SECONDS, what=f"{process.script} to be ready again")


async def sends(http: httpx.AsyncClient, site: Site, app_id: str) -> int:
    """Send a message; the status."""
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": secrets.token_hex(4)}
    return (
        await http.post(site.deployment.command_apis[0].url + "/v1/commands/send-message", json=body)
    ).status_code


async def test_a_server_that_is_demoted_is_left_for_the_one_behind_the_address(
    site: Site, http: httpx.AsyncClient, app_id: str
):
    push_node = site.deployment.push_nodes[0]
    async with (
        private_redis("--replicaof", f"127.0.0.1 {site.server.port}") as other,
        connect(push_node.url, app_id, "a") as gateway,
        Redis.from_url(site.server.url) as old,  # pyright: ignore[reportUnknownMemberType]
        Redis.from_url(other.url) as new,  # pyright: ignore[reportUnknownMemberType]
    ):
        await gateway.wait_for_code(2000)
        assert await sends(http, site, app_id) == 200
        await gateway.wait_for_code(2001)

        async def has_caught_up() -> bool:
            ours, theirs = await old.info("replication"), await new.info("replication")  # pyright: ignore
            return theirs["master_link_status"] == "up" and (
                ours["master_repl_offset"] == theirs["slave_repl_offset"]
            )

        await wait_until(has_caught_up)
        await new.execute_command("REPLICAOF", "NO", "ONE")  # pyright: ignore
        await old.execute_command("REPLICAOF", "127.0.0.1", str(other.port))  # pyright: ignore
        assert await sends(http, site, app_id) == 503  # it may not be told yet, but it is not acknowledged
        await wait_until_told(http, site.processes, "READONLY You can't write against a read only replica")
        site.proxy.lead_new_to("127.0.0.1", other.port)

        async def are_sent() -> bool:
            return [await sends(http, site, app_id) for _ in range(5)] == [200] * 5

        await wait_until(are_sent, HEAL_SECONDS)
        await wait_until_ready(http, site.processes)
        # A connection that was made just before the address changed may be used only now. It is renewed, too.
        await wait_until(are_sent, HEAL_SECONDS)
        await gateway.wait_for_code(2001, 3)

        async def is_left() -> bool:
            return await old.client_list(_type="pubsub") == []  # pyright: ignore

        await wait_until(is_left, HEAL_SECONDS)
    for process in site.processes:
        assert "READONLY You can't write against a read only replica" in process.log


FAULTS: list[tuple[str, list[tuple[str, ...]], list[tuple[str, ...]], str]] = [
    (
        "replica",
        [("REPLICAOF", "127.0.0.1", "1")],
        [("REPLICAOF", "NO", "ONE")],
        "READONLY You can't write against a read only replica",
    ),
    (
        "writable replica",
        [("CONFIG", "SET", "replica-read-only", "no"), ("REPLICAOF", "127.0.0.1", "1")],
        [("REPLICAOF", "NO", "ONE")],
        "a replica that takes writes",
    ),
    (
        "no replicas",
        [("CONFIG", "SET", "min-replicas-to-write", "1")],
        [("CONFIG", "SET", "min-replicas-to-write", "0")],
        "NOREPLICAS Not enough good replicas to write",
    ),
    (
        "password",
        [("CONFIG", "SET", "requirepass", "s3cret"), ("CLIENT", "KILL", "SKIPME", "yes")],
        [("CONFIG", "SET", "requirepass", "")],
        "NOAUTH",
    ),
    (
        "no rights",
        [("ACL", "SETUSER", "default", "-@all", "+acl", "+ping")],
        [("ACL", "SETUSER", "default", "+@all")],
        "NOPERM",
    ),
    (
        "no keys",
        [("ACL", "SETUSER", "default", "resetkeys")],
        [("ACL", "SETUSER", "default", "allkeys")],
        "NOPERM",
    ),
    (
        "evicts",
        [("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")],
        [("CONFIG", "SET", "maxmemory-policy", "noeviction")],
        "maxmemory-policy is allkeys-lru",
    ),
    (
        "evicts what ends",
        [("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")],
        [("CONFIG", "SET", "maxmemory-policy", "noeviction")],
        "maxmemory-policy is volatile-ttl",
    ),
]


@pytest.mark.parametrize(("name", "faults", "remedies", "words"), FAULTS, ids=[fault[0] for fault in FAULTS])
async def test_why_redis_does_not_do_the_work_is_told(
    lasting_site: Site,
    http: httpx.AsyncClient,
    app_id: str,
    name: str,
    faults: list[tuple[str, ...]],
    remedies: list[tuple[str, ...]],
    words: str,
):
    site = lasting_site
    # One connection from before the fault, which goes on.
    async with Redis.from_url(site.server.url, single_connection_client=True) as redis:  # pyright: ignore[reportUnknownMemberType]
        await run(redis, faults)
        await wait_until_told(http, site.processes, words)
        await run(redis, remedies)
    await wait_until_ready(http, site.processes)
    assert await sends(http, site, app_id) == 200
    for process in site.processes:
        assert words in process.log
        assert "s3cret" not in process.log


async def run(redis: Redis, commands: list[tuple[str, ...]]) -> None:
    for command in commands:
        await redis.execute_command(*command)  # pyright: ignore
