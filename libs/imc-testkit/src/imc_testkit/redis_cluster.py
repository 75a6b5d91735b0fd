"""A Redis Cluster.

All nodes are child processes with data of their own that survive SIGKILL. They notice a death within about a
second, so that a failover takes about two.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode as StartupNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import RedisError

from imc_testkit.child import free_port
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until

NODE_TIMEOUT_MS = 1000
HEALTHY_SECONDS = 60.0
REPLY_SECONDS = 10.0
SOON_SECONDS = 1.0
"""How long a server is waited for that may hang."""

_MOVED_AT_ONCE = 10
_MIGRATE_MS = 5000

T = TypeVar("T")


class ClusterNode(PrivateRedis):
    """A node of a cluster. With a folder ``tls``, it and the others use the certificate in there.

    With an ``account`` (``USER:PASSWORD``, who may do everything), the nodes log in at each other.
    """

    def __init__(self, *options: str, tls: Path | None = None, account: str | None = None) -> None:
        self.bus_port = free_port()
        self.client_port: int | None = None
        """Where clients with TLS connect; None without."""
        settings = {
            "cluster-enabled": "yes",
            "cluster-port": str(self.bus_port),
            "cluster-node-timeout": str(NODE_TIMEOUT_MS),
            # A dead master stops its own slots only, and however long its replica was cut off, it takes over.
            "cluster-require-full-coverage": "no",
            "cluster-replica-validity-factor": "0",
            "cluster-allow-replica-migration": "no",
            "repl-diskless-sync-delay": "0",
        }
        if tls is not None:
            self.client_port = free_port()
            settings |= {
                "tls-port": str(self.client_port),
                "tls-cluster": "yes",
                "tls-replication": "yes",
                "tls-auth-clients": "no",
                "tls-cert-file": str(tls / "certificate.pem"),
                "tls-key-file": str(tls / "key.pem"),
                "tls-ca-cert-file": str(tls / "certificate.pem"),
            }
        if account is not None:
            settings["masteruser"], settings["masterauth"] = account.split(":")
        super().__init__(
            *(part for name, value in settings.items() for part in (f"--{name}", value)),
            *options,
            account=account,
        )

    async def cluster(self, *words: str | int, seconds: float = REPLY_SECONDS) -> Any:
        """The reply to a CLUSTER command, with texts."""
        return await self.command("CLUSTER", *words, seconds=seconds)

    async def command(self, *words: str | int, seconds: float = REPLY_SECONDS) -> Any:
        """The reply to a command, which may take so long."""
        return await reply_of(self, *words, seconds=seconds)

    async def name(self) -> str:
        """Its id in the cluster."""
        return await self.cluster("MYID")


class PrivateCluster:
    """A Redis Cluster of some masters, each with one replica."""

    def __init__(
        self, *options: str, masters: int = 3, tls: Path | None = None, account: str | None = None
    ) -> None:
        self.nodes = [ClusterNode(*options, tls=tls, account=account) for _ in range(2 * masters)]
        self._masters = masters
        self._account = account
        self._ids: dict[str, ClusterNode] = {}

    @property
    def url(self) -> str:
        """Where IMC finds it: by some of its nodes."""
        return self.url_as(self._account)

    def url_as(self, account: str | None) -> str:
        """The same for who logs in with an account (``USER:PASSWORD``)."""
        scheme = "redis+cluster" if self.nodes[0].client_port is None else "rediss+cluster"
        login = f"{account}@" if account else ""
        ports = (node.client_port or node.port for node in self.nodes[:3])
        return f"{scheme}://{login}" + ",".join(f"127.0.0.1:{port}" for port in ports)

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Redis]:
        """A client that follows the keys: redis-py's own, without anything of how IMC finds masters."""
        user, password = self._account.split(":") if self._account else (None, None)
        places = [StartupNode("127.0.0.1", node.port) for node in self.nodes]
        redis = RedisCluster(startup_nodes=places, username=user, password=password)
        try:
            yield cast(Redis, await redis.initialize())
        finally:
            # Also if who reads is cancelled meanwhile: connections that are left open fail a later test.
            await asyncio.shield(redis.aclose())

    async def start(self) -> None:
        """Start all nodes and make them a cluster; returns when it is healthy."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        self._ids = {await node.name(): node for node in self.nodes}
        first = self.nodes[0]
        for number, master in enumerate(masters):
            begin, end = (SLOTS * each // self._masters for each in (number, number + 1))
            await master.cluster("ADDSLOTSRANGE", begin, end - 1)
            await master.cluster("SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            await node.cluster("MEET", "127.0.0.1", first.client_port or first.port, first.bus_port)
        await wait_until(self._all_know_all, HEALTHY_SECONDS, 0.05, what="the nodes to know each other")
        for master, replica in zip(masters, replicas, strict=True):
            await replica.cluster("REPLICATE", await master.name())
        await self.healthy()

    async def close(self) -> None:
        """End all nodes, and throw their data away."""
        await asyncio.gather(*(node.close() for node in self.nodes))

    async def healthy(self) -> None:
        """Wait until every node runs, all agree on who holds which slots, and each replica is in step."""
        await wait_until(self._is_healthy, HEALTHY_SECONDS, 0.05, what="the cluster to be healthy")

    async def master_of(self, key: str) -> ClusterNode:
        """The node that holds a key now, as most of those that answer know it."""
        return await self.holder(key_slot(key.encode()))

    async def holder(self, slot: int) -> ClusterNode:
        """The node that holds a slot now."""
        known = Counter(
            members[0]
            for table in await self._tables()
            for first, last, members in table
            if first <= slot <= last
        )
        return self._ids[known.most_common(1)[0][0]]

    async def masters(self) -> list[ClusterNode]:
        """The nodes that hold slots, in the order of these."""
        [table, *_] = await wait_until(self._tables, HEALTHY_SECONDS, what="a node to tell the masters")
        return list(dict.fromkeys(self._ids[members[0]] for _, _, members in table))

    async def replica_of(self, master: ClusterNode) -> ClusterNode:
        """The replica of a master that runs."""
        [line, *_] = await master.cluster("REPLICAS", await master.name())
        return self._ids[str(line).split()[0]]

    async def move_slot(
        self,
        slot: int,
        target: ClusterNode,
        *,
        halfway: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Move a slot with its keys to another master, as `redis-cli --cluster reshard` does.

        ``halfway`` is awaited when each key that there is has moved, but the slot has not.
        """
        source = await self.holder(slot)
        if source is target:
            return
        source_id, target_id = await source.name(), await target.name()
        await target.cluster("SETSLOT", slot, "IMPORTING", source_id)
        await source.cluster("SETSLOT", slot, "MIGRATING", target_id)
        await self._move_keys(slot, source, target)
        if halfway is not None:
            await halfway()
            await self._move_keys(slot, source, target)
        # The new holder first: until the old one knows, commands are redirected to who serves them.
        for node in (
            target,
            source,
            *(each for each in await self.masters() if each not in (source, target)),
        ):
            await node.cluster("SETSLOT", slot, "NODE", target_id)

    async def fail_over(self, master: ClusterNode) -> ClusterNode:
        """Have its replica take a master's place, in agreement; returns the new master."""
        replica = await self.replica_of(master)
        await replica.cluster("FAILOVER")

        async def has_taken_over() -> bool:
            return "slave" in str(await master.command("ROLE"))

        await wait_until(has_taken_over, HEALTHY_SECONDS, 0.02, what="the replica to be the master")
        return replica

    async def taken_over(self, master: ClusterNode) -> None:
        """Wait until others hold all slots of a master that was killed or hangs."""

        async def is_no_master() -> bool:
            tables = await self._tables(but_for=master)
            return bool(tables) and all(
                self._ids[members[0]] is not master for table in tables for _, _, members in table
            )

        await wait_until(is_no_master, HEALTHY_SECONDS, 0.05, what="a replica to take over")

    async def _move_keys(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        while keys := await source.cluster("GETKEYSINSLOT", slot, _MOVED_AT_ONCE):
            more = (*(("AUTH2", *self._account.split(":")) if self._account else ()), "KEYS", *keys)
            await source.command("MIGRATE", "127.0.0.1", target.port, "", 0, _MIGRATE_MS, *more)

    async def _tables(self, but_for: ClusterNode | None = None) -> list[list[tuple[int, int, list[str]]]]:
        """Of each node that answers: first and last slot, and the ids of the master and its replicas."""
        asked = [node for node in self.nodes if node is not but_for]
        answers = await asyncio.gather(*(soon(node.cluster("SLOTS", seconds=SOON_SECONDS)) for node in asked))
        return [
            [(first, last, [member[2] for member in members]) for first, last, *members in answer]
            for answer in answers
            if answer is not None
        ]

    async def _all_know_all(self) -> bool:
        infos = [await node.cluster("INFO") for node in self.nodes]
        return all(f"cluster_known_nodes:{len(self.nodes)}\r" in info for info in infos)

    async def _is_healthy(self) -> bool:
        tables = await self._tables()
        infos = await asyncio.gather(
            *(soon(node.cluster("INFO", seconds=SOON_SECONDS)) for node in self.nodes)
        )
        if len(tables) < len(self.nodes) or any(
            info is None or "cluster_state:ok\r" not in info for info in infos
        ):
            return False
        agree = all(sorted(_masters(table)) == sorted(_masters(tables[0])) for table in tables)
        are_paired = all(len(members) == 2 for table in tables for _, _, members in table)
        covered = sum(last - first + 1 for first, last, _ in tables[0])
        replications = [await node.command("INFO", "replication") for node in self.nodes]
        in_step = sum(each.get("master_link_status") == "up" for each in replications)
        return agree and are_paired and covered == SLOTS and in_step == self._masters


@contextlib.asynccontextmanager
async def private_cluster(
    *options: str, masters: int = 3, tls: Path | None = None, account: str | None = None
) -> AsyncGenerator[PrivateCluster]:
    """A Redis Cluster of the test's own, healthy; ``account`` is as `ClusterNode` has it.

    Raises `NotInstalled` if there is no Redis.
    """
    cluster = PrivateCluster(*options, masters=masters, tls=tls, account=account)
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.close()


def _masters(table: Sequence[tuple[int, int, list[str]]]) -> list[tuple[int, int, str]]:
    return [(first, last, members[0]) for first, last, members in table]


async def soon(answer: Awaitable[T]) -> T | None:
    """An answer, or None of a server that is away or hangs.

    It is waited for: cancelled while it connects, redis-py would leave a connection open.
    """
    try:
        return await answer
    except (RedisError, OSError):
        return None


async def reply_of(server: PrivateRedis, *words: str | int, seconds: float = REPLY_SECONDS) -> Any:
    """The reply of a server to a command, sent once, on a connection of its own."""
    async with Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        server.url,
        decode_responses=True,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
    ) as redis:
        return await cast(Any, redis).execute_command(*words)
