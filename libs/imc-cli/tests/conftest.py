from collections.abc import AsyncGenerator

import pytest
from imc_testkit.command import Imc
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.tokens import JWT, token


@pytest.fixture(scope="package")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    """A standalone that asks for tokens; every test has an app of its own."""
    async with standalone(tmp_path_factory.mktemp("imc"), JWT) as running:
        yield running


@pytest.fixture
def imc(deployment: Deployment) -> Imc:
    """The command, with a token for everything."""
    return Imc({"IMC_URL": deployment.push_nodes[0].url, "IMC_TOKEN": token(), "no_proxy": "127.0.0.1"})


@pytest.fixture
def alone() -> Imc:
    """The command with no variable of ours."""
    return Imc({"no_proxy": "127.0.0.1"})
