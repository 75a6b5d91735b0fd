"""A Redis that sentinels watch, and its replica.

All are child processes with data of their own that survive SIGKILL. The sentinels notice a death within about
a second, so that a failover takes about two.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from imc_testkit.programs import program
from imc_testkit.redis_cluster import HEALTHY_SECONDS, NODE_TIMEOUT_MS, SOON_SECONDS, reply_of, soon
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until

SERVICE = "imc"
"""What the sentinels watch."""


class WatchedServer(PrivateRedis):
    """A server with a file, where sentinels note whose replica it is: so it is after a restart."""

    def __init__(self, *lines: str, account: str | None = None) -> None:
        super().__init__("--repl-diskless-sync-delay", "0", account=account)
        self.file = self.folder / "redis.conf"
        self.file.write_text("".join(f"{line}\n" for line in lines))


class Sentinel(PrivateRedis):
    """A sentinel that watches the service ``imc``."""

    def __init__(self, master: PrivateRedis, *settings: str) -> None:
        super().__init__()
        self._settings = [
            *(f"port {self.port}", f"dir {self.folder}", "bind 127.0.0.1"),
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
            *settings,
        ]

    async def start(self) -> None:
        """Start it, or start it again with what it learned."""
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.write_text("\n".join(self._settings) + "\n")
        await self._run([program("redis-server", "valkey-server"), str(file), "--sentinel"])


class PrivateSentinels:
    """A master with one replica, and three sentinels that watch them as the service ``imc``.

    ``sentinel_settings`` are further lines of the sentinels' file, ``server_settings`` of the servers' files.
    With an ``account`` (``USER:PASSWORD``, who may do everything), clients log in at the servers.
    """

    def __init__(
        self, *sentinel_settings: str, server_settings: Sequence[str] = (), account: str | None = None
    ) -> None:
        first = WatchedServer(*server_settings, account=account)
        follow = f"replicaof 127.0.0.1 {first.port}"
        second = WatchedServer(*server_settings, follow, account=account)
        self.servers: list[PrivateRedis] = [first, second]
        self.sentinels = [Sentinel(first, *sentinel_settings) for _ in range(3)]
        self._login = f"{account}@" if account else ""

    @property
    def url(self) -> str:
        """Where IMC finds the master: by the sentinels."""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{self._login}{places}/{SERVICE}/0"

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncGenerator[Redis]:
        """A client of what is the master now."""
        master = await self.master()
        async with Redis.from_url(master.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            yield redis

    async def start(self) -> None:
        """Start all; returns when the sentinels know each other and the replica."""
        for server in self.servers:
            await server.start()
        await asyncio.gather(*(sentinel.start() for sentinel in self.sentinels))
        await self.healthy()

    async def close(self) -> None:
        """End all, and throw their data away."""
        await asyncio.gather(*(server.close() for server in (*self.sentinels, *self.servers)))

    async def healthy(self) -> None:
        """Wait until all run, and the sentinels agree on a master whose replica is in step."""
        await wait_until(self._is_healthy, HEALTHY_SECONDS, 0.05, what="the sentinels to agree")

    async def master(self) -> PrivateRedis:
        """The master, as the first sentinel that answers knows it."""

        async def known() -> list[dict[str, Any]]:
            return [state for state in await self._states() if state is not None]

        [state, *_] = await wait_until(known, HEALTHY_SECONDS, what="a sentinel to tell the master")
        return next(server for server in self.servers if server.port == int(state["port"]))

    async def fail_over(self) -> PrivateRedis:
        """Have the replica take the master's place; returns the new master."""
        await self.healthy()
        old = await self.master()
        # Sentinels give a failover up that takes longer than its timeout, as on a busy machine.
        for seconds in (HEALTHY_SECONDS / 3, HEALTHY_SECONDS / 3):
            with contextlib.suppress(ResponseError):  # one is under way
                await reply_of(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
            with contextlib.suppress(AssertionError):
                return await self.taken_over(old, seconds)
        return await self.taken_over(old)

    async def taken_over(self, old: PrivateRedis, seconds: float = HEALTHY_SECONDS) -> PrivateRedis:
        """Wait until the sentinels have another master; returns it."""

        async def all_have_another() -> bool:
            states = await self._states()
            return all(state is not None and int(state["port"]) != old.port for state in states)

        await wait_until(all_have_another, seconds, 0.05, what="the replica to be the master")
        return await self.master()

    async def _states(self) -> list[dict[str, Any] | None]:
        asked = (
            soon(reply_of(each, "SENTINEL", "MASTER", SERVICE, seconds=SOON_SECONDS))
            for each in self.sentinels
        )
        return await asyncio.gather(*asked)

    async def _is_healthy(self) -> bool:
        states = await self._states()
        ports: set[int] = set()
        for state in states:
            if state is None or state["flags"] != "master":
                return False
            ports.add(int(state["port"]))
            if (int(state["num-slaves"]), int(state["num-other-sentinels"])) != (1, 2):
                return False
        infos = await asyncio.gather(
            *(soon(reply_of(server, "INFO", "replication", seconds=SOON_SECONDS)) for server in self.servers)
        )
        links = [info for info in infos if info is not None and info.get("master_link_status") == "up"]
        return len(ports) == len(links) == 1


@contextlib.asynccontextmanager
async def private_sentinels(
    *sentinel_settings: str, server_settings: Sequence[str] = (), account: str | None = None
) -> AsyncGenerator[PrivateSentinels]:
    """A master, a replica and sentinels of the test's own, healthy; raises `NotInstalled`."""
    sentinels = PrivateSentinels(*sentinel_settings, server_settings=server_settings, account=account)
    try:
        await sentinels.start()
        yield sentinels
    finally:
        await sentinels.close()
