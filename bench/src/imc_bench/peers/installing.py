"""Installs the peers, from packages of the system or into a folder that git ignores."""

import os
import shutil
import subprocess
from pathlib import Path

from imc_testkit.programs import NotInstalled, program

CACHE = Path(".bench").resolve()
NODE_SOURCES = Path(__file__).parents[3] / "peers-node"
LOCK = "package-lock.json"
CENTRIFUGO = "github.com/centrifugal/centrifugo/v6@v6.9.1"
NCHAN_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_nchan_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_nchan_module.so"),
)


def nginx_with_nchan() -> tuple[str, Path]:
    """Return the paths of nginx and of its module nchan. Raises `NotInstalled`."""
    path = program("nginx", packages=("nginx", "libnginx-mod-nchan"))
    for module in NCHAN_MODULES:
        if module.exists():
            return path, module
    raise NotInstalled("nginx has no nchan: install libnginx-mod-nchan")


def node_peers() -> tuple[str, Path]:
    """Return the path of node, and the folder with the servers for it and their packages.

    Raises `NotInstalled`.
    """
    node, npm = program("node", packages=()), program("npm", packages=())
    folder = CACHE / "node"
    installed = folder / LOCK
    wanted = NODE_SOURCES / LOCK
    folder.mkdir(parents=True, exist_ok=True)
    for source in NODE_SOURCES.glob("*.js"):
        shutil.copy(source, folder)
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        for name in ("package.json", LOCK):
            shutil.copy(NODE_SOURCES / name, folder)
        # Exactly what the lock names, by its hashes; nothing of it is run when it is installed.
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            installed.unlink()
            raise NotInstalled(f"npm ci failed:\n{done.stderr}")
    return node, folder


def centrifugo() -> str:
    """Return the path of Centrifugo. It is built with Go once, from sources of the Go module proxy.

    Raises `NotInstalled`.
    """
    folder = CACHE / "centrifugo" / CENTRIFUGO.rpartition("@")[2]
    path = folder / "centrifugo"
    if not path.exists():
        go = program("go", packages=())
        environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
        command = [go, "install", CENTRIFUGO]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotInstalled(f"{' '.join(command[1:])} failed:\n{done.stderr}")
    return str(path)
