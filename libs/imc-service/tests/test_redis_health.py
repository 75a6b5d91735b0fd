"""What `RedisHealth` says of servers that fail, refuse, or take work that they may lose."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest
import structlog
from imc_contracts import names
from imc_service.background import running
from imc_service.redis import health as redis_health
from imc_service.redis import masters as redis_masters
from imc_service.redis.health import RedisHealth
from imc_service.redis.masters import Masters
from imc_service.redis.url import check
from imc_testkit.processes import free_port
from imc_testkit.redis_cluster import ClusterNode, PrivateCluster, private_cluster
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis


class Watched:
    """A `RedisHealth` whose proof sets a key of each shard that it is asked about."""

    def __init__(self, masters: Masters, ack_replicas: int) -> None:
        self.masters = masters
        self.proven: set[int] = set()
        self.proofs = 0
        self._registry = CollectorRegistry()
        self._health = RedisHealth(masters, self._prove, self._registry, "test", ack_replicas)

    async def _prove(self, shard: int) -> None:
        self.proven.add(shard)
        self.proofs += 1
        key = names.owner(shard)
        await self.masters.run(key, lambda redis: cast(Any, redis).set(key, "x", px=1))

    async def run(self) -> None:
        await self._health.run()

    async def words(self) -> str | None:
        return await self._health.ready()

    def metric(self, name: str) -> float | None:
        return self._registry.get_sample_value(f"imc_test_redis_{name}")


@contextlib.asynccontextmanager
async def watched(url: str, ack_replicas: int = 0) -> AsyncGenerator[Watched]:
    async with contextlib.aclosing(redis_masters.connect(check(url))) as masters:
        yield Watched(masters, ack_replicas)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--maxmemory-policy", "allkeys-lru"), "Redis may evict what was acknowledged: maxmemory-policy is"),
        (
            ("--replicaof", "127.0.0.1", "1", "--replica-read-only", "no"),
            "Redis is a replica that takes writes",
        ),
        (("--replicaof", "127.0.0.1", "1"), "Redis refuses the work: READONLY "),
        (
            (
                "--replicaof",
                "127.0.0.1",
                "1",
                "--replica-serve-stale-data",
                "no",
                "--replica-read-only",
                "no",
            ),
            "Redis refuses the work: MASTERDOWN ",
        ),
        (("--min-replicas-to-write", "1"), "Redis refuses the work: NOREPLICAS "),
        (
            ("--cluster-enabled", "yes"),
            "Redis refuses the work: CLUSTERDOWN Hash slot not served. Redis is a node of a cluster: give "
            "its URL as redis+cluster://",
        ),
    ],
)
async def test_a_server_that_is_the_wrong_one_is_told(options: tuple[str, ...], words: str) -> None:
    async with private_redis(*options) as server, watched(server.url) as health:
        assert str(await health.words()).startswith(words)
        assert health.metric("masters_failing") == 1


async def test_readiness_is_what_the_last_proof_has_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERIOD_SECONDS", "FRESH_SECONDS"):
        monkeypatch.setattr(redis_health, name, 3600.0)  # a busy machine may be late
    async with private_redis() as server, watched(server.url) as health, running(health.run()):

        async def asks_for_no_proof() -> bool:
            before = health.proofs
            assert await health.words() is None
            return health.proofs == before

        await wait_until(asks_for_no_proof)
        assert health.proofs > 0
        assert [await asks_for_no_proof() for _ in range(100)] == [True] * 100


async def test_readiness_proves_anew_what_is_not_known_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_health, "FRESH_SECONDS", 0.0)
    async with private_redis() as server, watched(server.url) as health, running(health.run()):
        await wait_until(lambda: health.proofs > 0)
        before = health.proofs
        assert [await health.words() for _ in range(10)] == [None] * 10
        assert health.proofs >= before + 10


async def test_a_cluster_of_one_node_is_told_though_it_refuses_nothing() -> None:
    async with private_redis("--cluster-enabled", "yes") as server, watched(server.url) as health:
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")  # pyright: ignore

        async def words() -> bool:
            return str(await health.words()).startswith("Redis is a node of a cluster: give its URL as")

        await wait_until(words)


async def test_without_an_append_only_file_it_works_with_a_warning() -> None:
    async with private_redis() as server, watched(server.url) as health:
        assert (await health.words(), health.metric("not_persistent")) == (None, 0)
        async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.config_set("appendonly", "no")  # pyright: ignore
        with structlog.testing.capture_logs() as told:
            assert (await health.words(), health.metric("not_persistent")) == (None, 1)
        assert ["keeps no append-only file" in line["event"] for line in told] == [True]


async def test_too_few_replicas_in_step_are_told_if_the_work_waits_for_them() -> None:
    words = "nothing can be acknowledged: {} of 2 replicas of Redis are in step with it"
    async with (
        private_redis("--repl-diskless-sync-delay", "0") as server,
        watched(server.url, 2) as health,
        watched(server.url) as careless,
    ):

        async def says(number: int) -> bool:
            return await health.words() == words.format(number)

        assert await says(0)
        follow = ("--replicaof", "127.0.0.1", str(server.port))
        async with private_redis(*follow):
            await wait_until(lambda: says(1))
            async with private_redis(*follow) as second:

                async def is_ready() -> bool:
                    return await health.words() is None

                await wait_until(is_ready)
                second.pause()
                await wait_until(lambda: says(1))
                second.resume()
                await wait_until(is_ready)
        assert await careless.words() is None


@pytest.fixture(scope="module")
async def cluster() -> AsyncGenerator[PrivateCluster]:
    async with private_cluster() as cluster:
        yield cluster


@pytest.fixture
async def health(cluster: PrivateCluster) -> AsyncGenerator[Watched]:
    await cluster.healthy()
    async with watched(cluster.url) as health:
        yield health


async def test_the_work_is_proven_on_each_master(cluster: PrivateCluster, health: Watched) -> None:
    assert await health.words() is None
    proven = {await cluster.master_of(names.owner(shard)) for shard in health.proven}
    assert len(health.proven) == len(proven) == 3
    assert health.metric("masters_failing") == 0


async def test_a_dead_master_is_told_while_the_others_work(cluster: PrivateCluster, health: Watched) -> None:
    assert await health.words() is None
    dead = (await cluster.masters())[0]
    at = f"127.0.0.1:{dead.port}"
    replica = await cluster.replica_of(dead)
    await replica.kill()
    await dead.kill()

    async def is_uncovered() -> bool:
        assert await health.words() is None
        return health.masters.uncovered() > 0

    try:
        with structlog.testing.capture_logs() as told:
            assert await health.words() is None
            assert health.metric("masters_failing") == 1
            await wait_until(is_uncovered)
        errors = [str(line["error"]) for line in told]
        assert errors[0].startswith(f"{at}: Redis is out of reach: ")
        assert errors[-1].endswith("of its slots")
    finally:
        await dead.start()
        await replica.start()
    await cluster.healthy()

    async def is_over() -> bool:
        return await health.words() is None and health.metric("masters_failing") == 0

    await wait_until(is_over)


async def test_a_master_that_may_lose_messages_makes_it_not_ready(
    cluster: PrivateCluster, health: Watched
) -> None:
    node = (await cluster.masters())[1]
    await node.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        words = f"127.0.0.1:{node.port}: Redis may evict what was acknowledged: maxmemory-policy is"
        assert str(await health.words()).startswith(words)
        assert health.metric("may_evict") == 1
    finally:
        await node.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert (await health.words(), health.metric("may_evict")) == (None, 0)


async def test_no_master_that_works_is_told_with_all_addresses(
    cluster: PrivateCluster, health: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_health, "PROOF_SECONDS", 0.5)
    assert await health.words() is None
    masters = await cluster.masters()
    each(cluster.nodes, ClusterNode.pause)
    try:
        words = str(await health.words())
    finally:
        each(cluster.nodes, ClusterNode.resume)
    for node in masters:
        assert f"127.0.0.1:{node.port}: Redis is out of reach: no answer in time" in words


def each(nodes: list[ClusterNode], do: Callable[[ClusterNode], None]) -> None:
    for node in nodes:
        do(node)


async def test_a_cluster_and_sentinels_that_nobody_finds_are_told() -> None:
    async with watched(f"redis+cluster://127.0.0.1:{free_port()}") as health:
        assert "Connect call failed" in str(await health.words())
    async with watched(f"redis+sentinel://127.0.0.1:{free_port()}/imc") as health:
        words = str(await health.words())
    assert words.startswith(
        "Redis is out of reach: no sentinel knows a master of the service imc: 127.0.0.1:"
    )
