"""Tests of deploy/k8s/push-nodes.sh, which makes Services and routes for a number of push-nodes."""

import shutil
import subprocess
from pathlib import Path

import pytest
from imc_push_node.settings import PushNodeSettings

from deployment import edges, network, scaling
from deployment.code import ROOT
from deployment.manifests import K8S, Installation, rendered, secrets_of
from deployment.planting import needs_kubectl

EDGES = ("production-ingress", "production-gateway-api")


@pytest.fixture
def k8s(tmp_path: Path) -> Path:
    """A copy of deploy/k8s, beside what it uses."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    return tmp_path / "deploy/k8s"


def make(k8s: Path, count: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(k8s / "push-nodes.sh"), count]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def texts(folder: Path) -> dict[Path, str]:
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_files_are_what_it_makes(k8s: Path):
    assert make(k8s, "6").returncode == 0
    assert texts(k8s) == texts(K8S)


@needs_kubectl
@pytest.mark.parametrize("overlay", EDGES)
@pytest.mark.parametrize("count", [1, 9, 40])
def test_every_push_node_has_a_route(k8s: Path, overlay: str, count: int):
    assert make(k8s, str(count)).returncode == 0
    installation = Installation(rendered(k8s, overlay), secrets_of(overlay))
    [push_node] = [workload for workload, _ in installation.ours if workload.name == "push-node"]
    assert installation.max_replicas(push_node) == count
    for check in (network, edges, scaling):
        assert list(check.faults(installation)) == []


@needs_kubectl
@pytest.mark.parametrize("overlay", EDGES)
def test_no_gateway_is_pinned_to_a_push_node_without_a_route(k8s: Path, overlay: str):
    make(k8s, "9")
    installation = Installation(rendered(k8s, overlay), secrets_of(overlay))
    [push_node] = [workload for workload, _ in installation.ours if workload.name == "push-node"]
    addresses = [
        installation.settings(push_node, PushNodeSettings, number).own_address for number in range(11)
    ]
    assert addresses[8:] == ["wss://imc.example.com/push/8", None, None]


@pytest.mark.parametrize("count", ["", "0", "-1", "six", "201", "6 7"])
def test_what_is_no_number_of_push_nodes_changes_nothing(k8s: Path, count: str):
    before = texts(k8s)
    refused = make(k8s, count)
    assert refused.returncode == 2
    assert "usage" in refused.stderr
    assert texts(k8s) == before
