"""Which tests need a server, as far as names in their code say."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from imc_testkit import servers, unit
from imc_testkit.processes import Process
from imc_testkit.servers import private_redis


async def by_name() -> None:
    async with private_redis():
        pass


async def by_module() -> None:
    async with servers.private_mariadb():
        pass


async def by_helper() -> None:
    await by_name()


@asynccontextmanager
async def by_decorated() -> AsyncGenerator[None]:
    async with private_redis():
        yield


class ByMethod:
    def start(self) -> Process:
        return Process("imc-projector", {})


def by_inner() -> Callable[[], object]:
    def inner() -> object:
        return ByMethod().start()

    return inner


def by_nothing() -> int:
    return len([pytest, Callable])


@pytest.mark.parametrize("function", [by_name, by_module, by_helper, by_decorated, ByMethod, by_inner])
def test_what_can_start_a_process_is_seen(function: Callable[..., object]) -> None:
    assert unit._reaches_child(function)


def test_what_can_not_is_left_in() -> None:
    assert not unit._reaches_child(by_nothing)


@pytest.mark.parametrize("name", ["redis", "database_url", "sqlite_url"])
def test_fixtures_are_looked_into(request: pytest.FixtureRequest, name: str) -> None:
    """By the name in the parameter, as one that a fixture may ask for."""
    assert unit.starts_a_process(request.node)
