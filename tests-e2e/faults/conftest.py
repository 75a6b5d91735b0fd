"""Servers and an installation of the fault tests' own: what expects peace shares nothing with them."""

import itertools
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest
from imc_testkit.checker import Report
from imc_testkit.databases import new_database
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.figures import figures_of
from imc_testkit.load import Load, load_on
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.settling import Stores

SEED = int(os.environ.get("SEED", "1"))
QUICK = {"IMC_CLAIM_IDLE_SECONDS": "1", "IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}
"""Settings with which faults are met sooner."""

_seeds = itertools.count(SEED * 1000)

Judge = Callable[..., Awaitable[Report]]
LoadOn = Callable[..., AbstractAsyncContextManager[Load]]


@pytest.fixture(scope="session")
async def own_redis() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as redis:
        yield redis


@pytest.fixture(scope="session")
async def own_mariadb() -> AsyncGenerator[PrivateMariadb]:
    async with private_mariadb() as mariadb:
        yield mariadb


@pytest.fixture(scope="session")
async def own_database_url(own_mariadb: PrivateMariadb) -> AsyncGenerator[str]:
    async with new_database(own_mariadb.url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture(scope="session")
def own_stores(own_redis: PrivateRedis, own_database_url: str) -> Stores:
    return Stores(own_redis.url, own_database_url)


@pytest.fixture(scope="session")
async def shared_installation(own_redis: PrivateRedis, own_database_url: str) -> AsyncGenerator[Deployment]:
    async with separate(own_redis.url, own_database_url, QUICK) as deployment:
        yield deployment


@pytest.fixture
async def installation(shared_installation: Deployment) -> AsyncGenerator[Deployment]:
    """Two of each kind, that are ready; what a test does to them it undoes."""
    await shared_installation.ready()
    yield shared_installation
    await shared_installation.ready()


@pytest.fixture
async def lone_redis() -> AsyncGenerator[PrivateRedis]:
    """A Redis of one test's own: no process of another installation takes part there."""
    async with private_redis() as redis:
        yield redis


@pytest.fixture
def small(lone_redis: PrivateRedis, own_database_url: str) -> Callable[..., Any]:
    """Makes an installation of one process a kind, unless it is told otherwise; without a query-api."""
    return partial(_small, lone_redis.url, own_database_url)


@pytest.fixture
def small_on() -> Callable[..., Any]:
    """The same on any Redis and database."""
    return _small


def _small(redis_url: str, database_url: str, **starts: Any) -> AbstractAsyncContextManager[Deployment]:
    kinds: dict[str, Any] = dict.fromkeys(("command_apis", "projectors", "push_nodes"), (Start(),))
    return separate(redis_url, database_url, QUICK, **{**kinds, "query_apis": (), **starts})


@pytest.fixture
def load_with(own_stores: Stores) -> LoadOn:
    """A load on the installation, with a seed of its own."""
    return partial(_load, own_stores)


@pytest.fixture
def load_small(lone_redis: PrivateRedis, own_database_url: str) -> LoadOn:
    """A load on a small installation, with a seed of its own."""
    return partial(_load, Stores(lone_redis.url, own_database_url))


@pytest.fixture
def load_between() -> LoadOn:
    """A load whose stores are given too, before its installation."""
    return _load


def _load(
    stores: Stores, deployment: Deployment, *, apps: int = 2, gateways: int = 3
) -> AbstractAsyncContextManager[Load]:
    return load_on(deployment, stores, seed=next(_seeds), apps=apps, gateways=gateways)


@pytest.fixture
async def load(installation: Deployment, load_with: LoadOn) -> AsyncGenerator[Load]:
    """A load on the installation, that has begun."""
    async with load_with(installation) as load:
        load.begin()
        await load.more(20)
        yield load


@pytest.fixture
def judge() -> Judge:
    """Ends a load, and says what was seen. A run that does not settle is judged as it stands."""

    async def judge(load: Load, patience: float = 30.0, *, replay: bool = True) -> Report:
        unsettled = ""
        try:
            await (load.finish(patience) if replay else load.pause(patience))
        except AssertionError as error:
            unsettled = f"it did not settle: {error}"
        report = await load.judge()
        if unsettled:
            report.violations.append(unsettled)
        print(f"seed {load.history.seed}: {figures_of(load.history)}\n{report}")  # noqa: T201
        return report

    return judge
