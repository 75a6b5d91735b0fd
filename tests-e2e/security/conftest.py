"""Installations that ask for tokens, and clients without one."""

from collections.abc import AsyncGenerator

import httpx
import pytest
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.tokens import JWT

ENVIRONMENT = {**JWT, "IMC_ALLOWED_ORIGINS": "https://page.test"}
"""Where tokens are asked for, origins are looked at only if some are listed."""


@pytest.fixture(scope="package")
async def guarded_standalone(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("guarded"), ENVIRONMENT) as deployment:
        yield deployment


@pytest.fixture(scope="package")
async def guarded_separate(redis_url: str, database_url: str) -> AsyncGenerator[Deployment]:
    one = (Start(),)
    async with separate(
        redis_url, database_url, ENVIRONMENT, command_apis=one, projectors=one, push_nodes=one
    ) as deployment:
        yield deployment


@pytest.fixture(params=["standalone", "separate"])
def guarded(request: pytest.FixtureRequest) -> Deployment:
    """Both forms in which IMC runs, asking for tokens."""
    name = "guarded_standalone" if request.param == "standalone" else "guarded_separate"
    return request.getfixturevalue(name)


@pytest.fixture
def both_forms(guarded_standalone: Deployment, guarded_separate: Deployment) -> list[Deployment]:
    """The same, for tests that wait for clocks: they wait once."""
    return [guarded_standalone, guarded_separate]


@pytest.fixture(scope="package")
async def stranger() -> AsyncGenerator[httpx.AsyncClient]:
    """A client that bears no token of its own."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client
