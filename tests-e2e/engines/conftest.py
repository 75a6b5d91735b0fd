"""A Galera cluster for the tests of this folder, and an installation on it."""

from collections.abc import AsyncGenerator

import pytest
from imc_testkit import databases
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.galera import GaleraCluster, galera_cluster
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateRedis, private_redis

DATABASE = "imc"
QUICK = {"IMC_CLAIM_IDLE_SECONDS": "1", "IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}
"""Settings that shorten the recovery from faults."""


@pytest.fixture(scope="package")
async def shared_cluster() -> AsyncGenerator[GaleraCluster]:
    async with galera_cluster() as cluster:
        await databases.run(cluster.nodes[0].url, f"CREATE DATABASE {DATABASE} CHARACTER SET latin1")
        await run_script("imc-migrate", {"IMC_DATABASE_URL": cluster.url(DATABASE)})
        yield cluster


@pytest.fixture
async def cluster(shared_cluster: GaleraCluster) -> AsyncGenerator[GaleraCluster]:
    """Three nodes in step, with our tables. A test must undo its faults."""
    await shared_cluster.synced()
    yield shared_cluster
    await shared_cluster.synced()


@pytest.fixture
async def log_server() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as redis:
        yield redis


@pytest.fixture
async def installation(cluster: GaleraCluster, log_server: PrivateRedis) -> AsyncGenerator[Deployment]:
    """Two processes of each kind, of which the second one prefers another node: all rows are in dispute."""
    first, second, third = [Start({"IMC_DATABASE_URL": cluster.url(DATABASE, first=at)}) for at in range(3)]
    async with separate(
        log_server.url,
        cluster.url(DATABASE),
        QUICK,
        command_apis=(first, second),
        projectors=(first, second),
        query_apis=(third,),
    ) as deployment:
        yield deployment
