"""A control plane with made-up nodes, and an empty namespace for each test."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import yaml
from imc_service import background

from cluster import cluster as control_plane
from cluster import programs
from cluster.cluster import Cluster
from cluster.installations import Installation
from cluster.nodes import MadeUpNodes
from cluster.storage import STORAGE_CLASS, volume

NODES = ["node-1", "node-2", "node-3", "node-4"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time that a roll-out on a slow machine takes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Cluster]:
    """A control plane that knows the custom resources of the manifests, and four nodes."""
    program = await asyncio.to_thread(programs.control_plane)
    resources = await asyncio.to_thread(lambda: list(programs.custom_resources()))
    async with control_plane.running(program, tmp_path_factory.mktemp("cluster")) as cluster:
        for file in resources:
            # Some are longer than what an apply at the client's side can keep in an annotation.
            await cluster.kubectl("create", "--filename", str(file))
        await cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
        async with cluster.client() as client, background.running(MadeUpNodes(client, NODES).run()):
            yield cluster


@pytest.fixture
async def installation(cluster: Cluster, tmp_path: Path) -> AsyncGenerator[Installation]:
    """Nothing yet: no namespace, and free volumes of a default StorageClass."""
    volumes = [volume(number, {"hostPath": {"path": f"/nowhere/{number}"}}) for number in range(2)]
    (tmp_path / "storage.yaml").write_text(yaml.safe_dump_all([STORAGE_CLASS, *volumes]))
    await cluster.kubectl("apply", "--filename", str(tmp_path / "storage.yaml"))
    yield Installation(cluster, tmp_path / "repository")
    await cluster.kubectl("uncordon", *NODES)
    await cluster.kubectl("delete", "namespace", "imc", "--ignore-not-found", "--timeout=5m")
    await cluster.kubectl("delete", "persistentvolume", "--all", "--timeout=60s")
