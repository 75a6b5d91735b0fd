"""A rolling restart of the trial under load, through the edge, judged by the checker."""

import base64
import os
import time
from dataclasses import dataclass
from typing import cast

import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.figures import figures_of
from imc_testkit.load import load_on
from imc_testkit.processes import Process
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

from cluster.installations import Installation

WORKLOADS = (
    "deployment/projector",
    "deployment/query-api",
    "statefulset/push-node",
    "deployment/command-api",
)
"""In the order that docs/operations/upgrade.md gives for an upgrade."""
CATCH_UP_SECONDS = 120.0


@dataclass(frozen=True)
class Edge:
    """What leads to all processes: one address for all that clients do."""

    url: str


@pytest.fixture
async def stores(trial: Installation) -> Stores:
    """The Redis and the database of the trial, as its projector reaches them."""
    secret = await trial.cluster.get("/api/v1/namespaces/imc/secrets/projector")
    redis, database = (
        base64.b64decode(secret["data"][name]).decode() for name in ("IMC_REDIS_URL", "IMC_DATABASE_URL")
    )
    return Stores(
        redis.replace("@redis:", f"@{await _address(trial, 'redis')}:"),
        database.replace("@mariadb:", f"@{await _address(trial, 'mariadb')}:"),
    )


async def _address(trial: Installation, service: str) -> str:
    found = await trial.cluster.get(f"/api/v1/namespaces/imc/services/{service}")
    return found["spec"]["clusterIP"]


async def test_nothing_is_lost_when_every_process_is_restarted(
    trial: Installation, edge_url: str, stores: Stores
):
    for workload in WORKLOADS:
        await trial.type(f"kubectl -n imc scale {workload} --replicas=2")
    await trial.rolled_out()
    behind_edge = cast("list[Process]", [Edge(edge_url)])
    deployment = Deployment(behind_edge, behind_edge, behind_edge, behind_edge)
    seed = int(os.environ.get("SEED", "1"))
    async with load_on(deployment, stores, seed=seed, apps=2, gateways=3, listed=1) as load:
        load.begin()
        await load.more(20)
        for workload in WORKLOADS:
            began = time.monotonic()
            await trial.type(f"kubectl -n imc rollout restart {workload}")
            await trial.type(f"kubectl -n imc rollout status {workload} --timeout=4m")
            print(f"{workload} was restarted in {time.monotonic() - began:.0f} s")  # noqa: T201
            await load.more(10)
        await wait_until(lambda: all(gateway.connection for gateway in load.gateways))
        report = await load.finish(CATCH_UP_SECONDS)
        print(f"seed {seed}: {figures_of(load.history)}\n{report}")  # noqa: T201
        assert report.is_clean, report
