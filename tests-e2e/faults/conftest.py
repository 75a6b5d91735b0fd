"""Servers and installations for fault tests only, so that faults don't disturb other tests."""

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
from imc_testkit.stores import Stores

SEED = int(os.environ.get("SEED", "1"))
QUICK = {"IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}
"""Settings that shorten the recovery from faults."""

_seeds = itertools.count(SEED * 1000)

Judge = Callable[..., Awaitable[Report]]
LoadOn = Callable[..., AbstractAsyncContextManager[Load]]


@pytest.fixture(scope="package")
async def own_redis() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as redis:
        yield redis


@pytest.fixture(scope="package")
async def own_mariadb() -> AsyncGenerator[PrivateMariadb]:
    async with private_mariadb() as mariadb:
        yield mariadb


@pytest.fixture(scope="package")
async def own_database_url(own_mariadb: PrivateMariadb) -> AsyncGenerator[str]:
    async with new_database(own_mariadb.url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture(scope="package")
def own_stores(own_redis: PrivateRedis, own_database_url: str) -> Stores:
    return Stores(own_redis.url, own_database_url)


@pytest.fixture(scope="package")
async def shared_installation(own_redis: PrivateRedis, own_database_url: str) -> AsyncGenerator[Deployment]:
    async with separate(own_redis.url, own_database_url, QUICK) as deployment:
        yield deployment


@pytest.fixture
async def installation(shared_installation: Deployment) -> AsyncGenerator[Deployment]:
    """An installation with two processes of each kind, ready. A test must undo its faults."""
    await shared_installation.ready()
    yield shared_installation
    await shared_installation.ready()


@pytest.fixture
async def lone_redis() -> AsyncGenerator[PrivateRedis]:
    """A Redis for one test, which no other installation uses."""
    async with private_redis() as redis:
        yield redis


@pytest.fixture(scope="package")
async def lone_database_url(own_mariadb: PrivateMariadb) -> AsyncGenerator[str]:
    """A database for one installation after the other, each with a `lone_redis`.

    Projectors of two Redis servers must not work on one database: either would carry out all erasures.
    """
    async with new_database(own_mariadb.url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture
def small(lone_redis: PrivateRedis, lone_database_url: str) -> Callable[..., Any]:
    """Starts an installation with one process of each kind, and no query-api by default."""
    return partial(_small, lone_redis.url, lone_database_url)


@pytest.fixture
def small_on() -> Callable[..., Any]:
    """As `small`, on a given Redis and database."""
    return _small


def _small(redis_url: str, database_url: str, **starts: Any) -> AbstractAsyncContextManager[Deployment]:
    kinds: dict[str, Any] = dict.fromkeys(("command_apis", "projectors", "push_nodes"), (Start(),))
    return separate(redis_url, database_url, QUICK, **{**kinds, "query_apis": (), **starts})


@pytest.fixture
def load_with(own_stores: Stores) -> LoadOn:
    """Starts a load on `installation`, with a new seed."""
    return partial(_load, own_stores)


@pytest.fixture
def load_small(lone_redis: PrivateRedis, lone_database_url: str) -> LoadOn:
    """Starts a load on a `small` installation, with a new seed."""
    return partial(_load, Stores(lone_redis.url, lone_database_url))


@pytest.fixture
def load_between() -> LoadOn:
    """Starts a load on given stores and a given installation."""
    return _load


def _load(
    stores: Stores, deployment: Deployment, *, apps: int = 2, gateways: int = 3, listed: int = 1, **more: int
) -> AbstractAsyncContextManager[Load]:
    listed = min(listed, gateways)
    return load_on(deployment, stores, seed=next(_seeds), apps=apps, gateways=gateways, listed=listed, **more)


@pytest.fixture
async def load(installation: Deployment, load_with: LoadOn) -> AsyncGenerator[Load]:
    """A running load on the installation."""
    async with load_with(installation) as load:
        load.begin()
        await load.more(20)
        yield load


@pytest.fixture
def judge() -> Judge:
    """Finishes a load, checks it, and prints the report. If it does not catch up, it is checked as it is."""

    async def judge(load: Load, seconds: float = 30.0, *, replay: bool = True) -> Report:
        failure = ""
        try:
            await (load.finish(seconds) if replay else load.pause(seconds))
        except AssertionError as error:
            failure = f"the run did not catch up: {error}"
        report = await load.judge()
        if failure:
            report.violations.append(failure)
        print(f"seed {load.history.seed}: {figures_of(load.history)}\n{report}")  # noqa: T201
        return report

    return judge
