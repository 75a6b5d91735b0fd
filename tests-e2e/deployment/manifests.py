"""Manifests, rendered by kubectl or read from their files."""

import copy
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from imc_service.settings import Model, load

from deployment.code import PROCESSES, ROOT, Process, image_environment

Document = dict[str, Any]
Secrets = dict[str, dict[str, str]]

K8S = ROOT / "deploy/k8s"
OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))
KUBECTL = shutil.which("kubectl")
_IMC_IMAGE = re.compile(r"(?:.*/)?imc-(?P<package>[a-z-]+):(?P<tag>[^:/]+)")


def render(overlay: str) -> list[Document]:
    """The documents that ``kubectl apply -k`` would send, as a copy that the caller may change."""
    return copy.deepcopy(_rendered(overlay))


@cache
def _rendered(overlay: str) -> list[Document]:
    return rendered(K8S, overlay)


def rendered(k8s: Path, overlay: str) -> list[Document]:
    """The documents of an overlay in ``k8s``, a folder such as deploy/k8s."""
    assert KUBECTL is not None
    command = [KUBECTL, "kustomize", str(k8s / "overlays" / overlay)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stderr
    return [document for document in yaml.load_all(made.stdout, yaml.CSafeLoader) if document]


def files() -> dict[str, list[Document]]:
    """The documents of every resource file below deploy/k8s, without kubectl."""
    found = {
        str(path.relative_to(K8S)): [
            document for document in yaml.safe_load_all(path.read_text()) if document
        ]
        for path in sorted(K8S.rglob("*.yaml"))
    }
    return {
        name: documents
        for name, documents in found.items()
        if not name.endswith("kustomization.yaml") and all(isinstance(each, dict) for each in documents)
    }


def secrets_of(overlay: str) -> Secrets:
    """The Secrets that the instructions for ``overlay`` create."""
    folder = K8S / "overlays" / overlay
    if overlay == "trial":
        done = subprocess.run(["sh", str(folder / "secrets.sh")], capture_output=True, text=True, check=True)
        return _secrets_in(done.stdout)
    secrets = _secrets_in(_filled_in(K8S / "overlays/production/secrets.example.yaml"))
    differing = folder / "secrets.example.yaml"
    if overlay != "production" and differing.exists():
        text = _filled_in(differing)
        for name, values in _secrets_in(text).items():
            secrets[name].update(values)
        for name in re.findall(r"^# The Secret (\S+) is not needed", text, re.MULTILINE):
            del secrets[name]
    return secrets


def _filled_in(example: Path) -> str:
    """The text of an example with values for its blanks, which no process would accept."""
    blank = r"<openssl[^>]*>"
    return re.sub(blank, lambda found: sha256(found[0].encode()).hexdigest(), example.read_text())


def _secrets_in(text: str) -> Secrets:
    return {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(text)}


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or Job with one container."""

    document: Document

    @property
    def name(self) -> str:
        """The name of what it runs. That of a Job bears the version too."""
        return self.labels["app.kubernetes.io/name"]

    @property
    def pod(self) -> Document:
        return self.document["spec"]["template"]["spec"]

    @property
    def labels(self) -> dict[str, str]:
        return self.document["spec"]["template"]["metadata"]["labels"]

    @property
    def container(self) -> Document:
        [container] = self.pod["containers"]
        return container

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def image(self) -> re.Match[str] | None:
        """Package and tag, if it is an image of IMC."""
        return _IMC_IMAGE.fullmatch(self.container["image"])

    @property
    def process(self) -> Process | None:
        """The process that it runs, if that is part of IMC."""
        return PROCESSES.get((self.container.get("command") or [""])[0])


@dataclass(frozen=True)
class Installation:
    """All documents of one overlay, and the Secrets that are created separately."""

    documents: list[Document]
    secrets: Secrets
    image: dict[str, str] = field(default_factory=image_environment)

    def of(self, *kinds: str) -> list[Document]:
        """All documents of these kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    def named(self, kind: str, name: str) -> Document | None:
        """The document of this kind and name, or None."""
        return next((each for each in self.of(kind) if each["metadata"]["name"] == name), None)

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(document) for document in self.of("Deployment", "StatefulSet", "Job")]

    @property
    def ours(self) -> list[tuple[Workload, Process]]:
        """The workloads that run processes of IMC, with the process."""
        return [(each, each.process) for each in self.workloads if each.process is not None]

    @property
    def exporters(self) -> list[Workload]:
        """The workloads that make metrics of Redis and the database."""
        return [each for each in self.workloads if each.name.endswith("-exporter")]

    def max_replicas(self, workload: Workload) -> int:
        """The maximum number of pods."""
        for scaler in self.of("ScaledObject", "HorizontalPodAutoscaler"):
            if scaler["spec"]["scaleTargetRef"]["name"] == workload.name:
                spec: dict[str, int] = scaler["spec"]
                return spec.get("maxReplicaCount") or spec["maxReplicas"]
        return workload.document["spec"].get("replicas", 1)

    def environment(self, workload: Workload, index: int = 0) -> dict[str, str]:
        """The environment of pod number ``index``. Raises `KeyError` for a reference that does not exist."""
        found = dict(self.image)
        for entry in workload.container.get("env", []):
            value = entry["value"] if "value" in entry else self._resolve(entry["valueFrom"], workload, index)
            if value is not None:
                # As in Kubernetes, $(NAME) refers to variables defined before.
                found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name[1]], value)
        return found

    def settings(self, workload: Workload, model: type[Model], index: int = 0) -> Model:
        """What a process in pod number ``index`` reads. Files of ConfigMaps are where the pod has them.

        Raises `KeyError` for a reference that does not exist, and `SettingsError`.
        """
        environment = self.environment(workload, index)
        with tempfile.TemporaryDirectory() as folder:
            copies: dict[str, str] = {}
            for number, (path, text) in enumerate(self._mounted(workload).items()):
                copy = Path(folder, f"{number}-{Path(path).name}")
                copy.write_text(text)
                copies[path] = str(copy)
            return load(model, {name: copies.get(value, value) for name, value in environment.items()})

    def _mounted(self, workload: Workload) -> dict[str, str]:
        """The files of ConfigMaps that the pods of a workload see: their texts by path."""
        folders = {mount["name"]: mount["mountPath"] for mount in workload.container.get("volumeMounts", [])}
        maps = {
            folders[volume["name"]]: self.named("ConfigMap", volume["configMap"]["name"])
            for volume in workload.pod.get("volumes", [])
            if "configMap" in volume
        }
        return {
            f"{folder}/{name}": text
            for folder, document in maps.items()
            for name, text in (document or {"data": {}})["data"].items()
        }

    def _resolve(self, source: Mapping[str, Document], workload: Workload, index: int) -> str | None:
        [(kind, reference)] = source.items()
        if kind == "fieldRef":
            return {
                "metadata.name": f"{workload.name}-{index}",
                "metadata.namespace": workload.document["metadata"]["namespace"],
                "metadata.labels['apps.kubernetes.io/pod-index']": str(index),
            }[reference["fieldPath"]]
        if kind == "secretKeyRef":
            values = self.secrets.get(reference["name"], {})
        else:
            values = (self.named("ConfigMap", reference["name"]) or {"data": {}})["data"]
        return values.get(reference["key"]) if reference.get("optional") else values[reference["key"]]
