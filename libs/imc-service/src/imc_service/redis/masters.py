"""The masters: the servers that hold the keys, one or those of a cluster.

A key decides which master is asked. Whoever uses several keys in one script or transaction gives them the
same hash tag (``imc:{17}:…``), so that one master has them all.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from importlib.resources import files
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from imc_service.redis import client, connections
from imc_service.redis import url as redis_url
from imc_service.redis.cluster import REDIRECTIONS, Cluster
from imc_service.redis.errors import NotConnected, NotReplicated, code_of, words_of
from imc_service.redis.sentinel import SentinelService

T = TypeVar("T")

Argument = str | bytes | int | float

AGAIN_AT_ONCE = 16
"""How many refused commands of `Masters.each` are sent again at once: each takes a connection."""

SENTINEL_SECONDS = 1.0
"""How long a sentinel may take to answer before the next one is asked."""


class Masters:
    """One server as the only master, through the pool of connections of ``redis``.

    ``service`` is what finds the server, if sentinels do.
    """

    is_cluster = False

    def __init__(self, redis: Redis, service: SentinelService | None = None) -> None:
        self._redis = redis
        self._service = service

    @property
    def database(self) -> int:
        """The number of the database that commands are for: 0 in a cluster."""
        return int(self._redis.connection_pool.connection_kwargs.get("db") or 0)

    async def run(self, key: str, work: Callable[[Redis], Awaitable[T]]) -> T:
        """The result of ``work`` on the client of the master that holds ``key``.

        All keys that ``work`` uses have the hash tag of ``key``. In a cluster ``work`` is called again, with
        the client of another node, if a node has refused a command since it does not hold the slot (MOVED,
        ASK), or not all of it (TRYAGAIN), or while the slot has no master (CLUSTERDOWN); for about
        `imc_service.redis.cluster.RETRY_SECONDS`, then the refusal is raised. What ``work`` did before the
        refused command stays done. So ``work`` is one command, one script or one transaction, of which a
        refusal leaves nothing; or what may be done twice, such as reading. Several commands that do not
        belong together go through `each`.

        Raises what redis-py raises. A master that can't be reached is not waited for.
        """
        return await work(self._redis)

    def by_master(self, keys: Iterable[str]) -> list[tuple[Redis, list[str]]]:
        """The clients of the masters that hold ``keys``, as far as is known now, each with its keys.

        A master keeps its client for as long as it is one. Keys whose master is not known are left out: all
        of them before `look_for_masters` or the first command. Even on one master, a command takes keys of
        one hash tag only; a pipeline may hold commands for many, which may be refused one by one (`each`).
        """
        listed = list(keys)
        return [(self._redis, listed)] if listed else []

    async def look_for_masters(self) -> None:
        """Wait until `by_master` knows the masters. Raises `NotConnected` if nobody tells them."""

    async def all(self, commands: Sequence[tuple[str, Sequence[Argument]]]) -> list[Any]:
        """The replies to commands as `each` has them. Raises the first error that a command has met."""
        replies = await self.each(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def each(self, commands: Sequence[tuple[str, Sequence[Argument]]]) -> list[Any]:
        """The replies to commands, each with the key that it is for, in one round trip a master.

        They are as redis-py reads them: True for the OK of SET. In the place of a reply stands the
        `RedisError` or `OSError` that this command has met: a master that can't be reached fails its commands
        alone. In a cluster, a refused command is sent again as in `run`.
        """
        replies: list[Any] = [None] * len(commands)
        with contextlib.suppress(NotConnected):
            await self.look_for_masters()
        places: dict[str, list[int]] = {}
        for place, (key, _) in enumerate(commands):
            places.setdefault(key, []).append(place)
        groups = [
            (redis, [place for key in keys for place in places[key]])
            for redis, keys in self.by_master(places)
        ]
        known = {place for _, group in groups for place in group}

        async def on(redis: Redis, group: list[int]) -> None:
            found = await replies_of(redis, [commands[place][1] for place in group])
            for place, reply in zip(group, found, strict=True):
                replies[place] = reply

        turns = asyncio.Semaphore(AGAIN_AT_ONCE)

        async def again(place: int) -> None:
            key, command = commands[place]
            try:
                async with turns:
                    replies[place] = await self.run(key, lambda redis: _command(redis, command))
            except (RedisError, OSError) as error:
                replies[place] = error

        await asyncio.gather(*(on(redis, group) for redis, group in groups))
        redirected = (
            place
            for place, reply in enumerate(replies)
            if place not in known or (isinstance(reply, RedisError) and code_of(reply) in REDIRECTIONS)
        )
        await asyncio.gather(*(again(place) for place in redirected))
        return replies

    def script(self, package: str, *names: str) -> "Script":
        """The Lua script in the files ``names`` of ``package``, one after the other.

        Reads files, so call this when a process starts.
        """
        return Script(self, "".join(files(package).joinpath(name).read_text("utf-8") for name in names))

    async def follow(self) -> None:
        """Ask the sentinels, if there are some, whether another server is the master by now.

        A master that was replaced goes on for seconds, and loses what it takes. Connections to it are left.
        """
        if self._service is not None:
            with contextlib.suppress(NotConnected):
                await connections.look_again(self._redis)

    def uncovered(self) -> int:
        """How many slots of a cluster have no master that is up, as far as is known now."""
        return 0

    async def aclose(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
        if self._service is not None:
            await self._service.aclose()


class _MastersOfCluster(Masters):
    """The masters of a cluster."""

    is_cluster = True

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def database(self) -> int:
        return 0

    async def run(self, key: str, work: Callable[[Redis], Awaitable[T]]) -> T:
        return await self._cluster.run(key, work)

    def by_master(self, keys: Iterable[str]) -> list[tuple[Redis, list[str]]]:
        return self._cluster.by_master(keys)

    async def look_for_masters(self) -> None:
        await self._cluster.look_for_masters()

    async def follow(self) -> None:
        """The cluster looks by itself."""

    def uncovered(self) -> int:
        return self._cluster.uncovered()

    async def aclose(self) -> None:
        await self._cluster.aclose()


def connect(url: str, *, max_connections: int = 64) -> Masters:
    """The masters at ``url``, which `imc_service.redis.url.check` accepts. Connects when they are first used.

    ``max_connections`` are those to one server.
    """
    place = redis_url.parse(url)
    match place.kind:
        case "server":
            return Masters(client.connect(url, max_connections=max_connections))
        case "sentinel":
            sentinels = [
                client.connect(
                    place.sentinel_url(address),
                    max_connections=max_connections,
                    reply_seconds=SENTINEL_SECONDS,
                )
                for address in place.addresses
            ]
            service = SentinelService(place.service, sentinels)
            redis = client.connect(
                place.server_url((place.service, 0)), max_connections=max_connections, find=service.master
            )
            return Masters(redis, service)
        case "cluster":

            def connect_to(address: redis_url.Address, is_asking: bool) -> Redis:
                return client.connect(
                    place.server_url(address),
                    max_connections=max_connections,
                    is_in_cluster=True,
                    is_asking=is_asking,
                )

            return _MastersOfCluster(Cluster(place.addresses, connect_to, is_tls=place.is_tls))


class Script:
    """A Lua script, which is loaded on each master that runs it."""

    def __init__(self, masters: Masters, text: str) -> None:
        self._masters = masters
        self._text = text
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Iterable[Argument] = ()) -> Any:
        """Run it on the master of ``keys``, which have one hash tag. Raises what redis-py raises."""
        command = self._command(keys, args)

        async def work(redis: Redis) -> Any:
            try:
                return await _command(redis, command)
            except NoScriptError:
                await self._load_on(redis)
                return await _command(redis, command)

        return await self._masters.run(keys[0], work)

    async def replicated(
        self, keys: Sequence[str], args: Iterable[Argument] = (), *, replicas: int, milliseconds: int
    ) -> Any:
        """Run it, and wait until ``replicas`` replicas have what it wrote.

        Both in one round trip of one connection, whose last write is what WAIT looks at: a script that writes
        nothing waits for nothing of others. ``milliseconds`` are less than
        `imc_service.redis.client.REPLY_SECONDS`. Raises what redis-py raises, and `NotReplicated` if the
        script was run but fewer replicas have confirmed it in time.
        """

        async def work(redis: Redis) -> Any:
            _, result = await self.replicated_after(
                (), redis, keys, args, replicas=replicas, milliseconds=milliseconds
            )
            return result

        return await self._masters.run(keys[0], work)

    async def replicated_after(
        self,
        reads: Sequence[Sequence[Argument]],
        redis: Redis,
        keys: Sequence[str],
        args: Iterable[Argument] = (),
        *,
        replicas: int,
        milliseconds: int,
    ) -> tuple[list[Any], Any]:
        """The replies to ``reads``, commands on ``redis``, and the result of this script, run after them.

        As `replicated` on the client of a master, in one round trip with ``reads``. The script is a later
        write of the same server. So replicas that have it have what was read. Among the replies to ``reads``
        are the errors that they have met; they may be sent twice.
        """
        commands = (*reads, self._command(keys, args), ("WAIT", replicas, milliseconds))
        *replies, result, confirmed = await replies_of(redis, commands)
        if isinstance(result, NoScriptError):
            await self._load_on(redis)
            *replies, result, confirmed = await replies_of(redis, commands)
        if isinstance(result, Exception):
            raise result
        if isinstance(confirmed, Exception):
            raise NotReplicated(words_of(confirmed)) from confirmed
        if confirmed < replicas:
            raise NotReplicated(f"{confirmed} of {replicas} replicas have it after {milliseconds} ms")
        return replies, result

    async def each(self, calls: Sequence[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """The results of calls, each with its keys and arguments, as `Masters.each` has them."""
        results = await self._masters.each([(keys[0], self._command(keys, args)) for keys, args in calls])
        for place, result in enumerate(results):
            if isinstance(result, NoScriptError):
                try:
                    results[place] = await self(*calls[place])
                except (RedisError, OSError) as error:
                    results[place] = error
        return results

    def _command(self, keys: Sequence[str], args: Iterable[Argument]) -> Sequence[Argument]:
        return ("EVALSHA", self._sha, len(keys), *keys, *args)

    async def _load_on(self, redis: Redis) -> None:
        await _command(redis, ("SCRIPT LOAD", self._text))


async def _command(redis: Redis, command: Sequence[Argument]) -> Any:
    return await cast(Any, redis).execute_command(*command)


async def replies_of(redis: Redis, commands: Sequence[Sequence[Argument]]) -> list[Any]:
    """The replies to commands that are sent together to one server, or for each the error that it has met."""
    pipeline: Any = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    try:
        return await pipeline.execute(raise_on_error=False)
    except (RedisError, OSError) as error:
        return [error] * len(commands)
