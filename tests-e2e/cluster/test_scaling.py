"""Tests that numbers of pods survive, and that each push-node has its route."""

import pytest
from imc_testkit.waiting import wait_until

from cluster.installations import PROCESSES, ROLL_OUT_SECONDS, Installation, typed

SCALERS = "  - ../../components/autoscaling\n"
KUSTOMIZATION = "overlays/production/kustomization.yaml"
RUNNING = {"command-api": 6, "projector": 6, "query-api": 6, "push-node": 5}


async def scaled_by_hand(installation: Installation) -> None:
    """Install production without scalers, and scale it."""
    installation.replace(KUSTOMIZATION, SCALERS, "")
    await installation.install("production")
    for process, count in RUNNING.items():
        kind = "statefulset" if process == "push-node" else "deployment"
        await installation.type(f"kubectl -n imc scale {kind} {process} --replicas={count}")
    await installation.rolled_out()
    installation.replace(KUSTOMIZATION, "components:\n", f"components:\n{SCALERS}")


async def test_scalers_that_come_later_keep_what_runs(installation: Installation):
    await scaled_by_hand(installation)
    await installation.type(typed("scale", "kubectl -n imc annotate"))
    for _ in range(2):
        await installation.apply("production")
        assert await installation.replicas() == RUNNING


async def test_without_what_the_guide_says_they_would_not(installation: Installation):
    await scaled_by_hand(installation)
    await installation.apply("production")
    assert set((await installation.replicas()).values()).isdisjoint(RUNNING.values())


@pytest.mark.parametrize("overlay", ["production-ingress", "production-gateway-api"])
async def test_more_push_nodes_have_a_route_each(installation: Installation, overlay: str):
    await installation.install(overlay)
    await installation.type("sh deploy/k8s/push-nodes.sh 9")
    await installation.apply(overlay)
    await installation.type("kubectl -n imc scale statefulset push-node --replicas=9")
    await installation.rolled_out()
    pods = {pod["metadata"]["name"]: pod for pod in await installation.pods("push-node")}
    assert set(pods) == {f"push-node-{number}" for number in range(9)}
    for name, pod in pods.items():
        assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == name.rpartition("-")[2]

        async def leads_there(name: str = name, address: str = pod["status"]["podIP"]) -> bool:
            return await installation.addresses(name) == [address]

        await wait_until(leads_there, ROLL_OUT_SECONDS, 0.2, what=f"a Service that leads to {name}")


async def test_a_restore_stops_all_processes(installation: Installation):
    await installation.install("production")
    await installation.type(typed("backup", "kubectl -n imc delete hpa"))
    await installation.type(typed("backup", "kubectl -n imc scale deployment,statefulset"))
    await installation.rolled_out()
    assert await installation.replicas() == dict.fromkeys(PROCESSES, 0)
