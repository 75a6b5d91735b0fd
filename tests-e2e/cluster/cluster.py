"""A control plane on this machine: etcd, the API server, its controllers, the scheduler."""

import asyncio
import contextlib
import json
import os
import secrets
import ssl
import subprocess
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from deployment.code import ROOT
from imc_testkit.child import Child, free_port
from imc_testkit.programs import search_path
from imc_testkit.waiting import wait_until

LOOPBACK = "127.0.0.1"
SERVICES = "10.96.0.0/16"
"""The addresses of Services."""
START_SECONDS = 180.0
KUBECTL_SECONDS = 300.0


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    errors: str


class Cluster:
    """A running control plane, for an administrator."""

    def __init__(self, folder: Path, address: str, port: int, token: str) -> None:
        self._folder = folder
        self._token = token
        self._certificate = folder / "api/apiserver.crt"
        self.url = f"https://{address}:{port}"

    @property
    def kubeconfig(self) -> Path:
        """A file that makes its reader an administrator."""
        return self._folder / "kubeconfig"

    def write_files(self, control_plane: Path) -> None:
        """Write what `shell` needs: a kubectl, and the address that it uses."""
        access = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [
                {
                    "name": "here",
                    "cluster": {"server": self.url, "certificate-authority": str(self._certificate)},
                }
            ],
            "users": [{"name": "administrator", "user": {"token": self._token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "administrator"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(access))
        (self._folder / "bin").mkdir()
        kubectl = self._folder / "bin/kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec {control_plane} kubectl "$@"\n')
        kubectl.chmod(0o755)

    def client(self) -> httpx.AsyncClient:
        """A client of the API server."""
        return httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self._token}"},
            verify=ssl.create_default_context(cafile=str(self._certificate)),
            trust_env=False,
            timeout=30,
        )

    async def get(self, path: str) -> Any:
        """What the API server has at ``path``."""
        return json.loads(await self.text(path))

    async def text(self, path: str) -> str:
        """The same as a text: what a pod answers, if the path leads through to one."""
        async with self.client() as client:
            reply = await client.get(path)
            reply.raise_for_status()
            return reply.text

    async def shell(self, line: str, folder: Path = ROOT) -> Done:
        """Type a line into a shell whose kubectl is an administrator of this cluster."""
        return await self._done(["sh", "-euc", line], folder)

    async def kubectl(self, *arguments: str) -> str:
        """Run kubectl, which must succeed; what it printed."""
        done = await self._done([str(self._folder / "bin/kubectl"), *arguments], ROOT)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.errors}"
        return done.out

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a shell whose kubectl is an administrator of this cluster."""
        return {
            "PATH": f"{self._folder / 'bin'}{os.pathsep}{search_path()}",
            "HOME": str(self._folder),
            "KUBECONFIG": str(self.kubeconfig),
        }

    async def _done(self, command: Sequence[str], folder: Path) -> Done:
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KUBECTL_SECONDS,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    async def is_ready(self) -> bool:
        """Whether the API server takes requests."""
        if not self._certificate.exists():
            return False
        with contextlib.suppress(httpx.TransportError):
            async with self.client() as client:
                return (await client.get("/readyz")).status_code == 200
        return False


@contextlib.asynccontextmanager
async def running(control_plane: Path, folder: Path, address: str = LOOPBACK) -> AsyncGenerator[Cluster]:
    """Start a control plane whose data are in ``folder``, and stop it at the end.

    ``address`` is where its API server listens: one that the nodes reach, if these are real.
    """
    port, token = free_port(), secrets.token_hex(16)
    cluster = Cluster(folder, address, port, token)
    cluster.write_files(control_plane)
    (folder / "tokens").write_text(f"{token},administrator,administrator,system:masters\n")
    etcd, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    await asyncio.to_thread(_make_key, folder)
    async with contextlib.AsyncExitStack() as stack:

        async def start(name: str, options: dict[str, object]) -> Child:
            given = [f"--{option}={value}" for option, value in options.items()]
            child = Child([str(control_plane), name, *given], {"PATH": search_path(), "HOME": str(folder)})
            stack.push_async_callback(child.close)
            child.spawn()
            return child

        await start("etcd", _etcd(folder, etcd, peers))
        api = await start("kube-apiserver", _api_server(folder, etcd, address, port))

        async def is_ready() -> bool:
            assert api.exit_code is None, api.log[-3000:]
            return await cluster.is_ready()

        await wait_until(is_ready, START_SECONDS, 0.2)
        others = [
            await start("kube-controller-manager", _controllers(folder)),
            await start("kube-scheduler", _leaderless(folder, "scheduler")),
        ]
        yield cluster
        assert [child.log[-3000:] for child in others if child.exit_code is not None] == []


def _make_key(folder: Path) -> None:
    for command in (
        ["openssl", "genrsa", "-out", "accounts.key", "2048"],
        ["openssl", "rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


def _etcd(folder: Path, clients: str, peers: str) -> dict[str, object]:
    return {
        "data-dir": folder / "etcd",
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"default={peers}",
        # Nothing of it outlives the tests.
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def _api_server(folder: Path, etcd: str, address: str, port: int) -> dict[str, object]:
    return {
        "etcd-servers": etcd,
        "bind-address": address,
        "secure-port": port,
        "cert-dir": folder / "api",
        # It only tells others where it is; for made-up nodes, nobody is there.
        "advertise-address": "192.0.2.1" if address == LOOPBACK else address,
        "endpoint-reconciler-type": "none",
        "service-cluster-ip-range": SERVICES,
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": folder / "accounts.pub",
        "service-account-signing-key-file": folder / "accounts.key",
        "authorization-mode": "RBAC",
        "token-auth-file": folder / "tokens",
        # Nobody knows the names of nodes.
        "kubelet-preferred-address-types": "InternalIP",
    }


def _leaderless(folder: Path, name: str) -> dict[str, object]:
    return {
        "kubeconfig": folder / "kubeconfig",
        "leader-elect": "false",
        "bind-address": "127.0.0.1",
        "secure-port": free_port(),
        "cert-dir": folder / name,
    }


def _controllers(folder: Path) -> dict[str, object]:
    return {
        **_leaderless(folder, "controllers"),
        "service-account-private-key-file": folder / "accounts.key",
        "horizontal-pod-autoscaler-sync-period": "2s",
        "kube-api-qps": 200,
        "kube-api-burst": 400,
    }
