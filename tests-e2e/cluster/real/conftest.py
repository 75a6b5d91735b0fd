"""A real node, and the trial on it as the README of the manifests installs it."""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import yaml
from deployment.code import ROOT

from cluster import cluster as control_plane
from cluster import programs
from cluster.cluster import Cluster
from cluster.installations import Installation
from cluster.real import images, machine, node
from cluster.real.edge import manifests
from cluster.real.namespaces import Namespaces, namespaces
from cluster.storage import STORAGE_CLASS, volume

README = ROOT / "deploy/k8s/README.md"


@pytest.fixture(scope="session")
def folder() -> Generator[Path]:
    """Where the node keeps everything. It is large, so that nothing of it stays."""
    machine.skip_unless_it_can_be_a_node()
    with tempfile.TemporaryDirectory(prefix="imc-node-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture(scope="session")
async def place(folder: Path) -> AsyncGenerator[Namespaces]:
    """The namespaces of the node."""
    with machine.as_it_was():
        async with namespaces(folder) as place:
            yield place


@pytest.fixture(scope="session")
async def cluster(
    request: pytest.FixtureRequest,
    folder: Path,
    place: Namespaces,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Cluster]:
    """A cluster with one real node."""
    program = await asyncio.to_thread(programs.control_plane)
    programs_of_node = await asyncio.to_thread(programs.node)
    (folder / "images").mkdir()
    archives = await asyncio.to_thread(lambda: list(images.archives(folder / "images")))
    async with (
        control_plane.running(program, tmp_path_factory.mktemp("cluster"), place.here) as cluster,
        node.running(programs_of_node, folder, place, cluster, archives) as only,
    ):
        yield cluster
        if request.session.testsfailed:
            only.show()
        only.check()


@pytest.fixture(scope="session")
async def trial(
    cluster: Cluster, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Installation]:
    """The trial, installed line by line as its README says, and ready."""
    volumes = [_volume(folder / f"volume-{number}", number) for number in range(2)]
    storage = tmp_path_factory.mktemp("storage") / "storage.yaml"
    storage.write_text(yaml.safe_dump_all([STORAGE_CLASS, *volumes]))
    await cluster.kubectl("apply", "--filename", str(storage))
    trial = Installation(cluster, tmp_path_factory.mktemp("trial") / "repository")
    [block] = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
    began = time.monotonic()
    *lines, _ = block.splitlines()
    for line in lines:
        await trial.type(line)
    await trial.rolled_out()
    print(f"the trial was ready after {time.monotonic() - began:.0f} s")  # noqa: T201
    yield trial
    await cluster.kubectl("delete", "namespace", "imc", "--timeout=5m")


def _volume(path: Path, number: int) -> dict[str, object]:
    path.mkdir()
    made = volume(number, {"local": {"path": str(path)}})
    names = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.NAME]}
    made["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [names]}]}}
    return made


@pytest.fixture(scope="session")
async def edge_url(trial: Installation, place: Namespaces, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the edge takes connections from this machine."""
    cluster = trial.cluster
    file = tmp_path_factory.mktemp("edge") / "edge.yaml"
    file.write_text(yaml.safe_dump_all(manifests(place.there)))
    await cluster.kubectl("apply", "--filename", str(file))
    await cluster.kubectl("-n", "edge", "rollout", "status", "deployment/edge", "--timeout=2m")
    service = await cluster.get("/api/v1/namespaces/edge/services/edge")
    return f"http://{service['spec']['clusterIP']}:{service['spec']['ports'][0]['port']}"
