"""The fixtures that all tests share: real servers, fresh databases, apps of one's own."""

import contextlib
import secrets
import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from imc_testkit import servers, unit
from imc_testkit.databases import new_database
from imc_testkit.processes import run_script
from imc_testkit.sources import shared_mariadb, shared_redis


def pytest_configure(config: pytest.Config) -> None:
    """Let no test wait for a disk."""
    memory = contextlib.ExitStack()
    memory.enter_context(servers.kept_in_memory())
    config.add_cleanup(memory.close)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a process, before ``-m`` chooses among the tests."""
    for item in items:
        if unit.starts_a_process(item):
            item.add_marker("servers")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that is not marked start no process: the mark would be missing."""
    with contextlib.nullcontext() if item.get_closest_marker("servers") else unit.no_processes():
        return (yield)


@pytest.fixture(scope="session")
async def redis_url() -> AsyncGenerator[str]:
    """A Redis with an append-only file, for all tests: keep to an app of your own."""
    async with shared_redis() as url:
        yield url


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    """A client of the shared Redis that gives bytes."""
    async with Redis.from_url(redis_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


@pytest.fixture(scope="session")
async def database_server_url() -> AsyncGenerator[str]:
    """An account that may create databases on the shared MariaDB."""
    async with shared_mariadb() as url:
        yield url


@pytest.fixture(scope="session")
async def database_url(database_server_url: str) -> AsyncGenerator[str]:
    """A migrated MariaDB database for all tests: keep to an app of your own."""
    async with new_database(database_server_url) as url:
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield url


@pytest.fixture
async def empty_database_url(database_server_url: str) -> AsyncGenerator[str]:
    """A MariaDB database without a table, for one test."""
    async with new_database(database_server_url) as url:
        yield url


@pytest.fixture(scope="session")
async def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    await run_script("imc-migrate", {"IMC_DATABASE_URL": f"sqlite:///{path}"})
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A migrated SQLite file for one test."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'imc.db')}"


@pytest.fixture
def app_id() -> str:
    """An app that nothing else knows."""
    return f"app-{secrets.token_hex(6)}"
