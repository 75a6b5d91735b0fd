"""The metrics of real processes."""

import httpx
import pytest
from imc_testkit.deployment import Deployment

from deployment.monitoring import Metrics


@pytest.fixture(scope="session")
async def metrics(separate_processes: Deployment) -> dict[str, Metrics]:
    """The metrics of each kind of process."""
    kinds = {
        "command-api": separate_processes.command_apis,
        "projector": separate_processes.projectors,
        "query-api": separate_processes.query_apis,
        "push-node": separate_processes.push_nodes,
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        return {
            job: Metrics.parse((await client.get(f"{processes[0].url}/metrics")).text)
            for job, processes in kinds.items()
        }
