from collections.abc import AsyncGenerator

import pytest
from imc_testkit.deployment import Deployment, standalone


@pytest.fixture(scope="package")
async def imc(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    """A standalone that every test may use, with an app of its own."""
    async with standalone(tmp_path_factory.mktemp("imc")) as deployment:
        yield deployment


@pytest.fixture
def url(imc: Deployment) -> str:
    return imc.push_nodes[0].url
