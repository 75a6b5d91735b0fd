"""The metrics of real processes and exporters."""

from collections.abc import AsyncGenerator, Mapping

import httpx
import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.processes import Process
from imc_testkit.tokens import OFF

from deployment import exporters
from deployment.exporters import Servers
from deployment.monitoring import Metrics


@pytest.fixture(scope="package")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Servers]:
    """A Redis and a MariaDB with the users of the templates."""
    folder = tmp_path_factory.mktemp("users")
    folder.chmod(0o755)
    async with exporters.servers(folder) as started:
        yield started


@pytest.fixture(scope="package")
async def exported(servers: Servers) -> AsyncGenerator[Mapping[str, str]]:
    """What each exporter says of them."""
    async with exporters.exporters(servers) as texts:
        yield texts


@pytest.fixture(scope="package")
async def metrics(
    separate_processes: Deployment, database_url: str, exported: Mapping[str, str]
) -> dict[str, Metrics]:
    """The metrics of each kind of process and exporter."""
    databases = {"IMC_DATABASE_URL": database_url, "IMC_READ_DATABASE_URL": database_url}
    async with (
        Process("imc-query-api", {**OFF, **databases}) as query_api_with_replica,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await query_api_with_replica.ready()
        processes = {
            "command-api": separate_processes.command_apis[0],
            "projector": separate_processes.projectors[0],
            "query-api": query_api_with_replica,
            "push-node": separate_processes.push_nodes[0],
        }
        texts = {job: (await client.get(f"{process.url}/metrics")).text for job, process in processes.items()}
        return {job: Metrics.parse(text) for job, text in {**texts, **exported}.items()}
