"""Builds the programs of a cluster from Go modules; finds definitions of custom resources."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent
ASKED_FOR = ("CLUSTER", "CLUSTER_REAL")
"""The variables by which somebody asks for a cluster."""
BUILD_SECONDS = 3600
_VERSION = "v1.37.2"


@dataclass(frozen=True)
class Module:
    """A Go module with definitions of custom resources."""

    path: str
    version: str
    sum: str
    """Its checksum, as in a go.sum."""
    files: tuple[str, ...]


MODULES = (
    Module(
        "sigs.k8s.io/gateway-api",
        "v1.6.3",
        "h1:lKpJa5bGlraC/QeACvCpsHLdmO6y0iKfzVl6gzaFEYc=",
        ("config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",),
    ),
    Module(
        "github.com/kedacore/keda/v2",
        "v2.21.0",
        "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    ),
    Module(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
)


def go() -> str:
    """The path of Go; skips the test without it, or if nobody asked for a cluster."""
    if not any(os.environ.get(variable) for variable in ASKED_FOR):
        pytest.skip("a control plane is built from modules of the Go proxy: run `make cluster`")
    found = shutil.which("go")
    if found is None:
        pytest.skip("go is not installed")
    return found


def cache() -> Path:
    """Where programs are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imc/cluster"


def control_plane() -> Path:
    """The program that is etcd, the API server, its controllers, the scheduler and kubectl in one."""
    return _built(SOURCES / "control_plane", "control-plane")


def node() -> Path:
    """The program that is the kubelet, kube-proxy and CoreDNS in one."""
    return _built(SOURCES / "node", "node")


def _built(sources: Path, name: str) -> Path:
    compiler = go()
    content = hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(sources.iterdir())))
    folder = cache() / f"{name}-{content.hexdigest()[:12]}"
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / name).exists():
            shutil.copytree(sources, folder, dirs_exist_ok=True)
            _run([compiler, "build", "-trimpath", "-ldflags", _flags(), "-o", "made", "."], folder)
            (folder / "made").rename(folder / name)
    return folder / name


def _flags() -> str:
    """Without symbols, and with the version that the module proxy leaves out."""
    major, minor, _ = _VERSION.removeprefix("v").split(".")
    values = {"gitVersion": _VERSION, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return "-s -w " + " ".join(f"-X {package}.{k}={v}" for package in packages for k, v in values.items())


def custom_resources() -> Iterator[Path]:
    """Files that define the custom resources of the manifests."""
    cache().mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        told = json.loads(
            _run([go(), "mod", "download", "-json", f"{module.path}@{module.version}"], cache())
        )
        assert told["Sum"] == module.sum, f"{module.path} is not what it was"
        yield from (Path(told["Dir"]) / file for file in module.files)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS
    )
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
    return done.stdout
