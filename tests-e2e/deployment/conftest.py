"""What the real processes tell of themselves."""

import httpx
import pytest
from imc_testkit.deployment import Deployment

from deployment.monitoring import Told


@pytest.fixture(scope="session")
async def told(separate_processes: Deployment) -> dict[str, Told]:
    """What each kind of process tells at /metrics."""
    kinds = {
        "command-api": separate_processes.command_apis,
        "projector": separate_processes.projectors,
        "query-api": separate_processes.query_apis,
        "push-node": separate_processes.push_nodes,
    }
    async with httpx.AsyncClient(trust_env=False) as client:
        return {
            job: Told.parse((await client.get(f"{processes[0].url}/metrics")).text)
            for job, processes in kinds.items()
        }
