"""Finds the server programs that tests run, and installs them where apt-get can."""

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

SERVERS = ("mariadb-server", "redis-server")
_NO_SERVICES = Path("/usr/sbin/policy-rc.d")


class NotInstalled(Exception):
    """A server program is missing and can't be installed; the message says what to do."""


def program(*names: str, packages: Sequence[str] = SERVERS) -> str:
    """Return the path of the first of ``names`` that is installed.

    If none is, and this is root on Debian or Ubuntu, ``packages`` are installed. Raises `NotInstalled`.
    """
    path = _find(names)
    if path is None and packages and _can_install():
        with _install_lock():
            # The previous holder of the lock may have installed it.
            path = _find(names)
            if path is None:
                _install(packages)
                path = _find(names)
    if path is None:
        missing = " and ".join(packages or names[:1])
        raise NotInstalled(f"{names[0]} is not on the PATH: install {missing} (no service needs to run)")
    return path


def search_path() -> str:
    """PATH, and the folders where Debian installs server programs, which only root has on its PATH."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


def _find(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name, path=search_path()))), None)


def _can_install() -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()
        return bool({"debian", "ubuntu"} & {release["ID"], *release.get("ID_LIKE", "").split()})
    return False


@contextlib.contextmanager
def _install_lock() -> Generator[None]:
    # A second apt-get fails while one runs, and each process of a parallel test run may start one.
    with (Path(tempfile.gettempdir()) / "imc-testkit-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(packages: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services_started():
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(
                ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise NotInstalled(f"apt-get {' '.join(arguments)} failed:\n{done.stderr}")


@contextlib.contextmanager
def _no_services_started() -> Generator[None]:
    # Debian starts a server when it is installed, unless this file forbids it.
    if _NO_SERVICES.exists():
        yield
        return
    _NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
    _NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        _NO_SERVICES.unlink()
