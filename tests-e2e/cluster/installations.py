"""Installs overlays as the documents say, and looks at what runs then."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from deployment.code import ROOT
from deployment.manifests import secrets_of
from imc_testkit.waiting import wait_until

from cluster.cluster import Cluster

RUNBOOK = ROOT / "docs/operations"
PROCESSES = ("command-api", "projector", "query-api", "push-node")
ROLL_OUT_SECONDS = 300.0
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/imc/horizontalpodautoscalers"
APPS = "/apis/apps/v1/namespaces/imc"


class Installation:
    """IMC in the namespace ``imc`` of a cluster, from a copy of the manifests that a test may change."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        shutil.copy(ROOT / "pyproject.toml", folder)

    def replace(self, file: str, old: str, new: str) -> None:
        """Change a file below deploy/k8s."""
        path = self.folder / "deploy/k8s" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def release(self, version: str) -> None:
        """Give everything another version, as a release does."""
        project = self.folder / "pyproject.toml"
        project.write_text(
            re.sub(r'^version = ".*"', f'version = "{version}"', project.read_text(), flags=re.M)
        )
        subprocess.run([sys.executable, str(self.folder / "deploy/version.py")], check=True)

    async def type(self, line: str) -> str:
        """Type a line of a document into a shell in this folder. It must succeed; what it printed."""
        done = await self.cluster.shell(line, self.folder)
        assert done.code == 0, f"{line}: {done.errors}"
        return done.out

    async def refused(self, line: str) -> str:
        """Type a line that must fail; its errors."""
        done = await self.cluster.shell(line, self.folder)
        assert done.code != 0, f"{line}: {done.out}"
        return done.errors

    async def prepare(self, overlay: str, way: str = "") -> None:
        """Do the steps of the guide before the overlay is applied: the namespace and the Secrets.

        ``way`` are options of the apply, since kubectl warns whoever changes the way.
        """
        secrets = [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": "imc"},
                "stringData": values,
            }
            for name, values in secrets_of(overlay).items()
        ]
        (self.folder / "secrets.yaml").write_text(yaml.safe_dump_all(secrets))
        await self.type(
            f"{typed('install-kubernetes', 'kubectl apply -f deploy/k8s/base/namespace.yaml')} {way}"
        )

    async def apply(self, overlay: str) -> None:
        """Apply an overlay, and make of its ScaledObjects what KEDA would make of them."""
        await self.type(f"kubectl apply -k deploy/k8s/overlays/{overlay}")
        scaled = await self.cluster.get("/apis/keda.sh/v1alpha1/namespaces/imc/scaledobjects")
        if scaled["items"]:
            autoscalers = [_autoscaler(each) for each in scaled["items"]]
            (self.folder / "autoscalers.yaml").write_text(yaml.safe_dump_all(autoscalers))
            await self.type("kubectl apply -f autoscalers.yaml")

    async def install(self, overlay: str) -> None:
        """Install an overlay, and wait until all of it is ready."""
        await self.prepare(overlay)
        await self.apply(overlay)
        await self.rolled_out()

    async def workloads(self) -> dict[str, Any]:
        """The Deployments and StatefulSets, by name."""
        kinds = [await self.cluster.get(f"{APPS}/{kind}") for kind in ("deployments", "statefulsets")]
        return {each["metadata"]["name"]: each for kind in kinds for each in kind["items"]}

    async def replicas(self) -> dict[str, int]:
        """How many pods each process is to have."""
        workloads = await self.workloads()
        return {name: workloads[name]["spec"]["replicas"] for name in PROCESSES}

    async def rolled_out(self) -> None:
        """Wait until every pod is of the newest form and ready."""

        async def is_done() -> bool:
            return not await self.unready()

        try:
            await wait_until(is_done, ROLL_OUT_SECONDS, 0.3, what="a roll-out")
        except AssertionError as late:
            pods = await self.cluster.get("/api/v1/namespaces/imc/pods")
            states = {each["metadata"]["name"]: each["status"] for each in pods["items"]}
            raise AssertionError(f"{await self.unready()}: {yaml.safe_dump(states)[:5000]}") from late

    async def unready(self) -> list[str]:
        """The workloads that have not all their pods yet, in their newest form."""
        scalers = (await self.cluster.get(AUTOSCALERS))["items"]
        fewest = {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["minReplicas"] for each in scalers}
        return [
            name
            for name, each in (await self.workloads()).items()
            if not _is_rolled_out(each) or 0 < each["spec"]["replicas"] < fewest.get(name, 0)
        ]

    async def pods(self, process: str = "") -> list[Any]:
        """The pods of a process, or of all."""
        selector = f"?labelSelector=app.kubernetes.io/name={process}" if process else ""
        return (await self.cluster.get(f"/api/v1/namespaces/imc/pods{selector}"))["items"]

    async def addresses(self, service: str) -> list[str]:
        """Where a Service leads to."""
        path = "/apis/discovery.k8s.io/v1/namespaces/imc/endpointslices"
        slices = await self.cluster.get(f"{path}?labelSelector=kubernetes.io/service-name={service}")
        return [
            address
            for each in slices["items"]
            for endpoint in each["endpoints"] or []
            if endpoint["conditions"]["ready"]
            for address in endpoint["addresses"]
        ]


def _autoscaler(scaled: Any) -> Any:
    """The HorizontalPodAutoscaler that KEDA keeps for a ScaledObject. Its metric is never known here."""
    spec = scaled["spec"]
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"keda-hpa-{scaled['metadata']['name']}", "namespace": "imc"},
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": [{"type": "Resource", "resource": metric}],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }


def _is_rolled_out(workload: Any) -> bool:
    wanted, status = workload["spec"]["replicas"], workload["status"]
    return (
        status.get("observedGeneration") == workload["metadata"]["generation"]
        and status.get("replicas", 0) == wanted
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def typed(page: str, beginning: str) -> str:
    """The one command on a page of the runbook that begins so, as it stands there."""
    text = (RUNBOOK / f"{page}.md").read_text()
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [*re.findall(r"`([^`]+)`", prose), *(line for block in blocks for line in block.splitlines())]
    [command] = {line for each in lines if (line := " ".join(each.split())).startswith(beginning)}
    return command
