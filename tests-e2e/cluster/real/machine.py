"""What a node needs of this machine, and what it leaves behind there."""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from imc_testkit.programs import NotInstalled, program

from cluster.programs import go

PACKAGES = (
    "buildah",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "golang-github-containers-common",
    "iproute2",
    "nftables",
    "runc",
)
"""The packages of Debian that hold what is needed."""
PROGRAMS = ("buildah", "containerd", "ctr", "debootstrap", "ip", "nft", "nsenter", "runc", "unshare")
NETWORK_PLUGINS = Path("/usr/lib/cni")
CONTROL_GROUPS = Path("/sys/fs/cgroup")

_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")


def skip_unless_it_can_be_a_node() -> None:
    """Skip the test where nobody asked for a node, or this machine can't be one. Installs packages."""
    if not os.environ.get("CLUSTER_REAL"):
        pytest.skip("a node of containerd and a kubelet is built at length: run `make cluster-real`")
    if os.geteuid() != 0:
        pytest.skip("a node needs root")
    go()
    try:
        for name in PROGRAMS:
            program(name, packages=PACKAGES)
    except NotInstalled as error:
        pytest.skip(str(error))
    if not (NETWORK_PLUGINS / "ptp").exists():
        pytest.skip(f"{NETWORK_PLUGINS}/ptp is missing: install containernetworking-plugins")
    _remove_groups()
    if _groups():
        pytest.skip("there is a kubelet on this machine: its control groups would be those of the test")


@contextlib.contextmanager
def as_it_was() -> Generator[None]:
    """Undo at the end what a kubelet does to the whole machine: settings of the kernel, control groups."""
    files = [Path("/proc/sys") / name for name in _SETTINGS]
    before = {file: file.read_text() for file in files}
    try:
        yield
    finally:
        for file, text in before.items():
            file.write_text(text)
        _remove_groups()


def _groups() -> list[Path]:
    """The control groups of pods, in each hierarchy."""
    return [*CONTROL_GROUPS.glob("kubepods"), *CONTROL_GROUPS.glob("*/kubepods")]


def _remove_groups() -> None:
    for group in _groups():
        for folder, _, _ in os.walk(group, topdown=False):
            # One in which a process is left stays.
            with contextlib.suppress(OSError):
                os.rmdir(folder)
