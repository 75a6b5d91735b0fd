"""A real node: containerd, a kubelet, kube-proxy and CoreDNS, in namespaces of their own."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from imc_testkit.child import Child
from imc_testkit.programs import search_path
from imc_testkit.waiting import wait_until

from cluster.cluster import Cluster
from cluster.real.images import PAUSE
from cluster.real.machine import NETWORK_PLUGINS
from cluster.real.namespaces import PODS, Namespaces

NAME = "node-1"
DOMAIN = "cluster.local"
START_SECONDS = 180.0
_CONTAINERD = f"""
version = 2
# A root without CAP_SYS_RESOURCE can't give a process less than its parent has.
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{NETWORK_PLUGINS}"
    conf_dir = "/var/lib/networks"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
"""
_SOCKET = "unix:///run/containerd/containerd.sock"


@dataclass(frozen=True)
class Node:
    """A node that has registered itself, and is ready."""

    namespaces: Namespaces
    children: dict[str, Child]

    def check(self) -> None:
        """Raise `AssertionError` if one of its programs has ended."""
        for name, child in self.children.items():
            assert child.exit_code is None, f"{name} has ended"

    def show(self) -> None:
        """Print what its programs have logged."""
        for name, child in self.children.items():
            print(f"{name}:\n{child.log[-50_000:]}")  # noqa: T201


@contextlib.asynccontextmanager
async def running(
    program: Path, folder: Path, namespaces: Namespaces, cluster: Cluster, archives: Iterable[Path]
) -> AsyncGenerator[Node]:
    """Start a node of ``cluster`` that has the images in ``archives``.

    ``folder`` is that of its namespaces.
    """
    node = Node(namespaces, {})
    _write_files(folder, namespaces, cluster)
    async with contextlib.AsyncExitStack() as stack:

        def start(name: str, *command: str | Path) -> None:
            environment = {"PATH": search_path(), "HOME": str(folder)}
            child = Child(namespaces.command(*command), environment)
            stack.push_async_callback(child.close)
            child.spawn()
            node.children[name] = child

        try:
            start("containerd", "containerd", "--config", folder / "containerd.toml")
            await _answers(node, "ctr", "version")
            for archive in archives:
                await namespaces.run("ctr", "--namespace=k8s.io", "images", "import", archive)
            start("coredns", program, "coredns", "-conf", folder / "Corefile")
            start(
                "kubelet",
                *(program, "kubelet", f"--config={folder / 'kubelet.yaml'}"),
                *(f"--kubeconfig={cluster.kubeconfig}", f"--hostname-override={NAME}"),
                f"--node-ip={namespaces.there}",
            )
            await _ready(node, cluster)
            start("kube-proxy", program, "kube-proxy", f"--config={folder / 'kube-proxy.yaml'}")
        except AssertionError:
            node.show()
            raise
        yield node


async def _answers(node: Node, *command: str) -> None:
    async def is_there() -> bool:
        node.check()
        done = await asyncio.to_thread(
            subprocess.run,
            node.namespaces.command(*command),
            env={"PATH": search_path()},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    await wait_until(is_there, START_SECONDS, 0.2, what=" ".join(command))


async def _ready(node: Node, cluster: Cluster) -> None:
    async def is_ready() -> bool:
        node.check()
        nodes: list[Any] = (await cluster.get("/api/v1/nodes"))["items"]
        conditions = [each for found in nodes for each in found["status"].get("conditions", [])]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    await wait_until(is_ready, START_SECONDS, 0.2, what="the node to be ready")


def _write_files(folder: Path, namespaces: Namespaces, cluster: Cluster) -> None:
    (folder / "containerd.toml").write_text(_CONTAINERD)
    networks = folder / "lib/networks"
    networks.mkdir()
    (networks / "pods.conflist").write_text(json.dumps(_network()))
    (folder / "resolv.conf").write_text("")
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(folder, namespaces)))
    (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy(cluster)))
    (folder / "Corefile").write_text(
        f".:53 {{\n  errors\n  kubernetes {DOMAIN} {{\n    kubeconfig {cluster.kubeconfig}\n  }}\n}}\n"
    )


def _network() -> dict[str, Any]:
    """Each pod has a link of its own to the node, which routes: no pod is reached past kube-proxy's rules."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": addresses}]}


def _kubelet(folder: Path, namespaces: Namespaces) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": namespaces.there,
        # Nobody but this machine reaches it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": _SOCKET,
        # containerd 1 can't tell it.
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDomain": DOMAIN,
        "clusterDNS": [namespaces.there],
        "resolvConf": str(folder / "resolv.conf"),
        # The disk is that of a developer's machine.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def _kube_proxy(cluster: Cluster) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(cluster.kubeconfig)},
        "hostnameOverride": NAME,
        "mode": "nftables",
        "clusterCIDR": PODS,
        # Nothing is set that holds for the whole machine.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "0.1s"},
    }
