"""The trial under load, through the edge, while parts of it are replaced or hang; judged by the checker."""

import base64
import os
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import cast

import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment
from imc_testkit.figures import figures_of
from imc_testkit.load import Load, load_on
from imc_testkit.processes import Process
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

from cluster.installations import Installation
from cluster.real.namespaces import Namespaces

WORKLOADS = (
    "deployment/projector",
    "deployment/query-api",
    "statefulset/push-node",
    "deployment/command-api",
)
"""In the order that docs/operations/upgrade.md gives for an upgrade."""
CATCH_UP_SECONDS = 120.0
RESTART_SECONDS = 240.0
"""Three failed probes, and the time in which the process could end by itself."""


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


@pytest.fixture
async def load(trial: Installation, edge_url: str, stores: Stores) -> AsyncGenerator[Load]:
    """A load that goes on, through the edge, on two pods of each process."""
    for workload in WORKLOADS:
        await trial.type(f"kubectl -n imc scale {workload} --replicas=2")
    await trial.rolled_out()
    behind_edge = cast("list[Process]", [Edge(edge_url)])
    deployment = Deployment(behind_edge, behind_edge, behind_edge, behind_edge)
    seed = int(os.environ.get("SEED", "1"))
    async with load_on(deployment, stores, seed=seed, apps=2, gateways=3, listed=1) as load:
        load.begin()
        await load.more(20)
        yield load


async def judge(load: Load) -> Report:
    """Finish a load, check it, and print what came of it."""
    await wait_until(lambda: all(gateway.connection for gateway in load.gateways), CATCH_UP_SECONDS)
    report = await load.finish(CATCH_UP_SECONDS)
    attempts = (attempt for send in load.history.sends for attempt in send.attempts)
    ends = Counter(f"{attempt.via} {attempt.answer}" for attempt in attempts)
    print(f"seed {load.history.seed}: {figures_of(load.history)}\n{dict(ends)}\n{report}")  # noqa: T201
    return report


async def test_nothing_is_lost_when_every_process_is_restarted(trial: Installation, load: Load):
    for workload in WORKLOADS:
        began = time.monotonic()
        await trial.type(f"kubectl -n imc rollout restart {workload}")
        await trial.type(f"kubectl -n imc rollout status {workload} --timeout=4m")
        print(f"{workload} was restarted in {time.monotonic() - began:.0f} s")  # noqa: T201
        await load.more(10)
    report = await judge(load)
    assert report.is_clean, report


async def test_nothing_is_lost_when_a_server_is_replaced(trial: Installation, load: Load):
    await _replace(trial, "redis-0")
    await load.more(10, CATCH_UP_SECONDS)
    with load.database_outage():
        await _replace(trial, "mariadb-0")
        await trial.rolled_out()
    await load.more(10, CATCH_UP_SECONDS)
    report = await judge(load)
    assert report.is_clean, report


async def _replace(trial: Installation, pod: str) -> None:
    began = time.monotonic()
    await trial.type(f"kubectl -n imc delete pod {pod} --timeout=2m")
    ready = f"kubectl -n imc wait --for=condition=Ready --timeout=10s pod/{pod}"

    async def is_ready() -> bool:
        return (await trial.cluster.shell(ready)).code == 0

    await wait_until(is_ready, CATCH_UP_SECONDS, what=f"another {pod}")
    print(f"{pod} was replaced in {time.monotonic() - began:.0f} s")  # noqa: T201


async def test_a_process_that_hangs_is_restarted_and_nothing_is_lost(
    trial: Installation, place: Namespaces, load: Load
):
    hanging, _ = await trial.pods("command-api")
    [container] = hanging["status"]["containerStatuses"]
    tasks = await place.run("ctr", "--namespace=k8s.io", "tasks", "ls")
    identifier = container["containerID"].removeprefix("containerd://")
    [process] = re.findall(rf"^{identifier}\s+(\d+)", tasks, re.MULTILINE)
    began = time.monotonic()
    await place.run("kill", "-STOP", process)

    async def is_restarted() -> bool:
        pods = {pod["metadata"]["name"]: pod for pod in await trial.pods("command-api")}
        [status] = pods[hanging["metadata"]["name"]]["status"]["containerStatuses"]
        return status["ready"] and status["restartCount"] > container["restartCount"]

    await wait_until(is_restarted, RESTART_SECONDS, 0.5, what="a restart by the kubelet")
    print(f"the kubelet restarted it after {time.monotonic() - began:.0f} s")  # noqa: T201
    await load.more(10)
    report = await judge(load)
    assert report.is_clean, report
