"""A Redis Cluster: which master holds a key, and what to do when another one has it by now.

The table of slots comes from the nodes. It is asked for again every few seconds, when a master can't be
reached, and when a node says that it is out of date. Nothing waits for that but the first command.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import AskError, ClusterDownError, RedisError, ResponseError
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import TimeoutError as TimedOut

from imc_service.redis import slots
from imc_service.redis.errors import NotConnected, code_of, words_of
from imc_service.redis.slots import SLOTS, SlotTable
from imc_service.redis.url import Address

T = TypeVar("T")

RETRY_SECONDS = 2.0
"""How long a command is tried whose slot moves or has no master: about as long as a failover takes."""

LOOK_SECONDS = 2.0
"""How often the nodes are asked for the table of slots."""

LEAST_SECONDS = 0.1
"""The least time between two looks."""

ANSWER_SECONDS = 1.0
"""How long nodes are waited for: a node that hangs keeps nobody from the answer of others."""

OTHERS_SECONDS = 0.1
"""How long others are waited for after the first answer, so that a majority can be seen."""

ASKED_AT_ONCE = 5

UNUSED_SECONDS = 10.0
"""When a client is closed whose server is no master any more: its last commands have ended by then."""

_PAUSES = (0.0, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Before the next try, in seconds; the last one again and again."""

REDIRECTIONS = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
"""What a node says instead of running a command whose slot it does not hold, or not yet."""

_NOT_HERE = "non local key"
"""What a script is told that uses a key of another master; it may have done something before."""


class Cluster:
    """Its masters, each with one client.

    ``seeds`` are some of its nodes; ``connect`` makes the client of a node, and one that says ASKING if its
    second argument is true.
    """

    def __init__(
        self, seeds: Sequence[Address], connect: Callable[[Address, bool], Redis], *, is_tls: bool
    ) -> None:
        self._seeds = tuple(seeds)
        self._connect = connect
        self._is_tls = is_tls
        self._table = SlotTable((), frozenset())
        self._addresses: list[Address | None] = [None] * SLOTS
        self._clients: dict[Address, Redis] = {}
        self._asking: dict[Address, Redis] = {}
        self._unused: dict[Redis, float] = {}
        """Clients to close, and when."""
        self._closing: set[asyncio.Task[None]] = set()
        self._look: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._next_look = float("-inf")
        self._failure = "no node was asked yet"

    async def run(self, key: str, work: Callable[[Redis], Awaitable[T]]) -> T:
        """The result of ``work`` on the client of the master that holds ``key``."""
        slot = slots.slot_of(key)
        asking: Redis | None = None
        tries, deadline = 0, float("inf")
        while True:
            try:
                return await work(asking or await self._holder(slot))
            except (RedisError, OSError) as error:
                if code_of(error) not in REDIRECTIONS:
                    if isinstance(error, ConnectionFailed | TimedOut | OSError) or _NOT_HERE in str(error):
                        self.look()
                    raise
                if _now() > deadline:
                    raise
                asking = self._follow(error, slot)
            if not tries:
                deadline = _now() + RETRY_SECONDS
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    def by_master(self, keys: Iterable[str]) -> list[tuple[Redis, list[str]]]:
        """The masters that hold ``keys``, as far as is known now, each with its keys."""
        found: dict[Redis, list[str]] = {}
        for key in keys:
            redis = self._known_holder(slots.slot_of(key))
            if redis is not None:
                found.setdefault(redis, []).append(key)
            elif not self._table.ranges:
                self.look()
        return list(found.items())

    def uncovered(self) -> int:
        """How many slots have no master that is up, as far as is known now."""
        return self._table.uncovered if self._table.ranges else 0

    async def look_for_masters(self) -> None:
        """Wait until the table is known. Raises `NotConnected` if no node tells it."""
        if not self._table.ranges:
            await asyncio.shield(self.look())
        if not self._table.ranges:
            raise NotConnected(self._failure)

    def look(self) -> asyncio.Task[None]:
        """Ask for the table soon. Calls while it is being asked for have one answer together."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._ask_for_table())
        return self._look

    async def aclose(self) -> None:
        """Close all connections."""
        tasks = [task for task in (self._looking, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for redis in {*self._clients.values(), *self._asking.values(), *self._unused}:
            self._close(redis)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _holder(self, slot: int) -> Redis:
        redis = self._known_holder(slot)
        if redis is None:
            await self.look_for_masters()
            redis = self._known_holder(slot)
        if redis is None:
            raise ClusterDownError(f"no master holds slot {slot}", status_code="CLUSTERDOWN")
        return redis

    def _known_holder(self, slot: int) -> Redis | None:
        address = self._addresses[slot]
        return None if address is None else self._clients[address]

    def _follow(self, error: BaseException, slot: int) -> Redis | None:
        """Note where the slot is by now; returns the client to ask next if it is not that of the master."""
        code = code_of(error)
        if code == "ASK":
            return self._asking_client(self._told_address(cast(AskError, error), slot))
        if code == "MOVED":
            address = self._told_address(cast(AskError, error), slot)
            self._use(address)
            self._addresses[slot] = address
        self.look()
        return None

    def _told_address(self, error: AskError, slot: int) -> Address:
        host, port = cast("tuple[str, int]", error.node_addr)  # pyright: ignore[reportUnknownMemberType]
        return slots.announced(host, port, self._addresses[slot] or self._seeds[0])

    def _use(self, address: Address) -> None:
        """Have a client of a master."""
        if address not in self._clients:
            self._clients[address] = self._connect(address, False)

    def _asking_client(self, address: Address) -> Redis:
        redis = self._asking.get(address)
        if redis is None:
            redis = self._asking[address] = self._connect(address, True)
        self._unused[redis] = _now() + UNUSED_SECONDS
        return redis

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.shield(self.look())
            self._close_unused()

    async def _ask_for_table(self) -> None:
        await asyncio.sleep(self._next_look - _now())
        self._next_look = _now() + LEAST_SECONDS
        others = (self._table.up | set(self._clients)) - set(self._seeds)
        nodes = [*random.sample(self._seeds, k=1), *random.sample(sorted(others), k=len(others))]
        answers = await self._answers_of(nodes[:ASKED_AT_ONCE] if others else list(self._seeds))
        tables = [answer for answer in answers if isinstance(answer, SlotTable) and answer.ranges]
        if tables:
            # A node that is cut off from the others has a table of its own.
            self._adopt(Counter(tables).most_common(1)[0][0])
        else:
            words = {answer for answer in answers if isinstance(answer, str)}
            self._failure = "; ".join(sorted(words)) or "no node of the cluster answers in time"

    async def _answers_of(self, nodes: Iterable[Address]) -> list[SlotTable | str]:
        """The tables of nodes, or why they tell none; those that take too long are left out."""
        tasks = [asyncio.create_task(self._ask(address)) for address in nodes]
        done: set[asyncio.Task[SlotTable | str]] = set()
        pending = set(tasks)
        end = _now() + ANSWER_SECONDS
        try:
            while pending and (left := end - _now()) > 0:
                ended, pending = await asyncio.wait(
                    pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                done |= ended
                if any(isinstance(task.result(), SlotTable) for task in ended):
                    end = min(end, _now() + OTHERS_SECONDS)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return [task.result() for task in done]

    async def _ask(self, address: Address) -> SlotTable | str:
        redis = self._connect(address, False)
        command = cast(Any, redis).execute_command
        try:
            try:
                return slots.of_shards(await command("CLUSTER", "SHARDS"), address, is_tls=self._is_tls)
            except ResponseError:  # unknown to old servers, or not permitted
                return slots.of_slots(await command("CLUSTER", "SLOTS"), address)
        except (RedisError, OSError) as error:
            return f"{address[0]}:{address[1]}: {words_of(error)}"
        except (LookupError, TypeError, ValueError):
            return f"{address[0]}:{address[1]}: its table of slots can't be read"
        finally:
            self._close(redis)

    def _adopt(self, table: SlotTable) -> None:
        self._table = table
        addresses: list[Address | None] = [None] * SLOTS
        for first, last, master in table.ranges:
            self._use(master)
            addresses[first : last + 1] = [master] * (last - first + 1)
        self._addresses = addresses
        masters = {master for _, _, master in table.ranges}
        for address in self._clients.keys() - masters:
            self._unused[self._clients.pop(address)] = _now() + UNUSED_SECONDS

    def _close_unused(self) -> None:
        closed = [redis for redis, end in self._unused.items() if end <= _now()]
        for redis in closed:
            del self._unused[redis]
        self._asking = {address: redis for address, redis in self._asking.items() if redis not in closed}
        for redis in closed:
            self._close(redis)

    def _close(self, redis: Redis) -> None:
        """Close a client in a task of its own: cancelled halfway, redis-py would leave connections open."""
        task = asyncio.create_task(redis.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
