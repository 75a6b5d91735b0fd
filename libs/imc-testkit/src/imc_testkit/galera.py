"""A Galera cluster of three MariaDB nodes, as child processes on 127.0.0.1.

A node that was killed is started as `galera_recovery` of the distributions does it: it is asked for the last
transaction that it has, and gets only the later ones from the others.
"""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from imc_testkit import databases
from imc_testkit.child import Child, free_port
from imc_testkit.programs import NotInstalled, search_path
from imc_testkit.servers import START_SECONDS, PrivateMariadb
from imc_testkit.waiting import wait_until

NODES = 3
_PLUGINS = ("/usr/lib/galera", "/usr/lib64/galera-4", "/usr/lib/galera-4", "/usr/lib64/galera")
_USER = "mysql"
_POSITION = re.compile(r"Recovered position:\s*([0-9a-f-]{36}:-?[0-9]+)")
_NOTHING = "00000000-0000-0000-0000-000000000000"
_STATES = ("wsrep_ready", "wsrep_local_state_comment", "wsrep_cluster_status", "wsrep_cluster_size")


class GaleraNode(PrivateMariadb):
    """One node; `galera_cluster` makes all of them."""

    def __init__(self, name: str, group_ports: Sequence[int], at: int) -> None:
        """``group_ports`` are those on which the nodes talk to each other; ``at`` is the index of its own."""
        transfer, increment = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        own = f"127.0.0.1:{group_ports[at]}"
        provider = {
            "gmcast.listen_addr": f"tcp://{own}",
            "ist.recv_addr": increment,
            # What the others can be sent after their absence. It is kept over a restart.
            "gcache.size": "32M",
            "gcache.recover": "yes",
        }
        super().__init__(
            "--wsrep-on=ON",
            f"--wsrep-provider={_plugin()}",
            "--wsrep-provider-options=" + ";".join(f"{key}={value}" for key, value in provider.items()),
            f"--wsrep-cluster-address=gcomm://{','.join(f'127.0.0.1:{port}' for port in group_ports)}",
            f"--wsrep-cluster-name={name}",
            f"--wsrep-node-name=node{at}",
            f"--wsrep-node-address={own}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address={transfer}",
            "--wsrep-slave-threads=4",
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--innodb-flush-log-at-trx-commit=0",
        )
        self.name = f"node{at}"
        if os.geteuid() == 0:
            shutil.chown(self._folder, _USER)

    async def bootstrap(self) -> None:
        """Start it as the first node of a new cluster."""
        await self._install()
        await self._run(self._arguments(), "--wsrep-new-cluster")

    async def start(self) -> None:
        """Start it, or start it again; returns once it takes statements, as a node that is in step."""
        await self._install()
        position = await self._recovered_position()
        await self._run(self._arguments(), *([f"--wsrep-start-position={position}"] if position else []))

    async def status(self) -> dict[str, str]:
        """What it says of itself: `wsrep_ready`, `wsrep_local_state_comment` and the like."""
        names = ", ".join(f"'{state}'" for state in _STATES)
        rows = await databases.run(self.url, f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})")
        return dict(rows)

    async def is_synced(self, size: int = NODES) -> bool:
        """Whether it is in step with a cluster of ``size`` nodes."""
        with contextlib.suppress(*databases.ERRORS):
            status = await self.status()
            return [status.get(state) for state in _STATES] == ["ON", "Synced", "Primary", str(size)]
        return False

    async def isolate(self) -> None:
        """Let it reach no other node: soon it takes no statements any more."""
        await self._set_isolation(1)

    async def rejoin(self) -> None:
        """End `isolate`."""
        await self._set_isolation(0)

    async def _set_isolation(self, value: int) -> None:
        await databases.run(self.url, f"SET GLOBAL wsrep_provider_options = 'gmcast.isolate={value}'")

    async def conflicts(self) -> int:
        """How many transactions here lost against another node's since its start."""
        counts = "'wsrep_local_cert_failures', 'wsrep_local_bf_aborts'"
        rows = await databases.run(self.url, f"SHOW GLOBAL STATUS WHERE Variable_name IN ({counts})")
        return sum(int(count) for _, count in rows)

    def _user(self) -> list[str]:
        # rsync, which carries all data to a new node, gives up the rights of root when it listens.
        return [f"--user={_USER}"] if os.geteuid() == 0 else []

    async def _recovered_position(self) -> str | None:
        """The last transaction in its data, or None if it has none of the cluster."""
        if not (self._data / "grastate.dat").exists():
            return None
        recovery = Child([*self._arguments(), "--wsrep-recover", "--log-error="], {"PATH": search_path()})
        try:
            recovery.spawn()
            code = await recovery.wait(START_SECONDS)
            found = _POSITION.findall(recovery.log)
            assert code == 0, f"the recovery ended with {code}:\n{recovery.log}"
        finally:
            await recovery.close()
        return found[-1] if found and not found[-1].startswith(_NOTHING) else None

    async def _answers(self) -> bool:
        assert self.process.exit_code is None, "it ended at once"
        with contextlib.suppress(*databases.ERRORS):
            status = await self.status()
            return status.get("wsrep_ready") == "ON" and status["wsrep_local_state_comment"] == "Synced"
        return False


class GaleraCluster:
    """Three nodes that have the same rows."""

    def __init__(self, nodes: Sequence[GaleraNode]) -> None:
        self.nodes = list(nodes)

    def url(self, database: str = "mysql", *, first: int = 0, user: str = "imc:imc") -> str:
        """The URL of all nodes; the one at the index ``first`` comes first."""
        ordered = [*self.nodes[first:], *self.nodes[:first]]
        return f"mysql://{user}@{','.join(f'127.0.0.1:{node.port}' for node in ordered)}/{database}"

    async def synced(self, timeout: float = START_SECONDS) -> None:
        """Wait until all nodes that run are in step."""
        running = [node for node in self.nodes if node.process.exit_code is None]
        for node in running:
            await wait_until(
                lambda node=node: node.is_synced(len(running)),
                timeout,
                0.05,
                what=f"{node.name} to be synced",
            )


@contextlib.asynccontextmanager
async def galera_cluster() -> AsyncGenerator[GaleraCluster]:
    """Three nodes, started and in step. Raises `NotInstalled` if there is no MariaDB or no Galera."""
    ports = [free_port() for _ in range(NODES)]
    nodes = [GaleraNode(f"imc-{ports[0]}", ports, at) for at in range(NODES)]
    cluster = GaleraCluster(nodes)
    try:
        await nodes[0].bootstrap()
        # One after the other: a node that hands its data to another one is blocked meanwhile.
        for node in nodes[1:]:
            await node.start()
        await cluster.synced()
        yield cluster
    finally:
        await asyncio.gather(*(node.close() for node in nodes))


def _plugin() -> Path:
    for folder in _PLUGINS:
        if (path := Path(folder) / "libgalera_smm.so").exists():
            return path
    raise NotInstalled("Galera is not installed: install galera-4")


def node_url(node: GaleraNode, database: str) -> str:
    """The URL of a database on one node alone."""
    return urlsplit(node.url)._replace(path=f"/{database}").geturl()
