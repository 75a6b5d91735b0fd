"""Tests that a real API server accepts every overlay, and refuses what is misspelt."""

import pytest
from deployment.manifests import OVERLAYS

from cluster.installations import Installation

STRICTLY = "--dry-run=server --validate=strict"
WAYS = ["", "--server-side"]


@pytest.mark.parametrize("way", WAYS, ids=["at the client", "at the server"])
@pytest.mark.parametrize("overlay", OVERLAYS)
async def test_an_overlay_is_accepted_without_a_warning(installation: Installation, overlay: str, way: str):
    await installation.prepare(overlay, way)
    line = f"kubectl apply {STRICTLY} {way} -k deploy/k8s/overlays/{overlay}"
    done = await installation.cluster.shell(line, installation.folder)
    assert (done.code, done.errors) == (0, "")


@pytest.mark.parametrize("way", WAYS, ids=["at the client", "at the server"])
@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("base/command-api.yaml", "minReadySeconds", "minReadySecond"),
        ("components/autoscaling/projector.yaml", "pollingInterval", "pollInterval"),
        ("components/edge-gateway-api/httproutes.yaml", "backendRefs", "backends"),
        ("components/monitoring/servicemonitor.yaml", "jobLabel", "jobLabels"),
    ],
)
async def test_a_field_that_does_not_exist_is_refused(
    installation: Installation, way: str, file: str, right: str, wrong: str
):
    await installation.prepare("production", way)
    installation.replace(file, right, wrong)
    line = f"kubectl apply {STRICTLY} {way} -k deploy/k8s/overlays/production-gateway-api"
    errors = await installation.refused(line)
    assert wrong in errors


async def test_pods_that_ask_for_rights_are_warned_of(installation: Installation):
    await installation.prepare("trial")
    installation.replace("overlays/trial/redis.yaml", "runAsNonRoot: true", "runAsNonRoot: false")
    line = f"kubectl apply {STRICTLY} -k deploy/k8s/overlays/trial"
    done = await installation.cluster.shell(line, installation.folder)
    assert "would violate PodSecurity" in done.errors


async def test_both_ways_of_applying_agree(installation: Installation):
    await installation.prepare("production-ingress")
    await installation.apply("production-ingress")
    line = "kubectl apply --server-side -k deploy/k8s/overlays/production-ingress"
    assert "conflict" not in await installation.type(line)
    await installation.apply("production-ingress")
