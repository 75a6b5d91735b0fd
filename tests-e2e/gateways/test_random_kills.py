"""Gateways of imc-gateway send and read while push-nodes, command-apis and Redis are killed at random.

Judged while it runs: all gateways see one order, in which each message that was acknowledged comes once, and
each recall once, after its message. `make kills` does it at length, for MINUTES=60 with SEED=1.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
import pytest
from imc_gateway import (
    AsyncClient,
    Event,
    FileStore,
    Gateway,
    ImcError,
    MemoryStore,
    MessageRecalled,
    MessageSent,
    Store,
    calls,
    connect,
)
from imc_gateway.calls import Call
from imc_testkit.child import free_port
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.processes import Process
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until

T = TypeVar("T")

IS_LONG = bool(os.environ.get("KILLS"))
MINUTES = float(os.environ.get("MINUTES", "60"))
SEED = int(os.environ.get("SEED", "1"))

RECOVERY_SECONDS = 120.0
SENDERS = 2
"""Of each gateway."""
PAUSE_SECONDS = 0.1
"""Between two sends of a sender, on average."""
OUTAGE_SECONDS = (0.0, 0.3, 1.0, 4.0)
QUICK = {"IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}


class Order:
    """The one order of events that all gateways must see, as the first to see each event tells it."""

    def __init__(self) -> None:
        self.events: list[tuple[type[Event], str]] = []
        self._sent: set[str] = set()
        self._recalled: set[str] = set()

    def check(self, index: int, event: Event, name: str) -> None:
        """Check the event that the gateway ``name`` got at the place ``index``."""
        assert isinstance(event, (MessageSent, MessageRecalled)), f"{name} got {event}"
        assert not event.is_repaired, f"{name} got {event}"
        seen = (type(event), event.message.message_id)
        if index == len(self.events):
            self._add(event)
            self.events.append(seen)
        assert self.events[index] == seen, f"{name} got {seen} at {index}, another one {self.events[index]}"

    def _add(self, event: MessageSent | MessageRecalled) -> None:
        message_id = event.message.message_id
        if isinstance(event, MessageSent):
            assert message_id not in self._sent, f"{message_id} came twice"
            self._sent.add(message_id)
        else:
            assert message_id in self._sent, f"the recall of {message_id} came before its message"
            assert message_id not in self._recalled, f"the recall of {message_id} came twice"
            self._recalled.add(message_id)

    def judge(self, acknowledged: set[str], recalled: set[str]) -> None:
        """Check at the end that all that was acknowledged came, and nothing else."""
        assert self._sent == acknowledged
        assert self._recalled == recalled


class Member:
    """A gateway of the run: it reads all events, in its own way, and lends itself to senders."""

    def __init__(self, name: str, opened: Callable[[], Gateway], order: Order, random: Random) -> None:
        self.name = name
        self.count = 0
        """How many events it was given."""
        self._opened = opened
        self._order = order
        self._random = random
        self._live: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()

    async def read(self) -> None:
        """Read for ever."""
        async with self._opened() as gateway:
            self._live.set_result(gateway)
            async for event in gateway:
                self._take(event)

    async def read_slowly(self) -> None:
        """Read for ever, and pause now and then until many events wait."""
        async with self._opened() as gateway:
            self._live.set_result(gateway)
            async for event in gateway:
                self._take(event)
                if self._random.random() < 0.005:
                    await asyncio.sleep(self._random.uniform(0, 3))

    async def read_and_restart(self) -> None:
        """Read for ever, as a new gateway now and then, which goes on where the last one ended."""
        while True:
            left = self._random.randrange(1, 300)
            async with self._opened() as gateway:
                self._live.set_result(gateway)
                async for event in gateway:
                    self._take(event)
                    left -= 1
                    if not left:
                        self._live = asyncio.get_running_loop().create_future()
                        break

    async def connected(self) -> None:
        """Wait until it is connected."""
        await asyncio.shield(self._live)

    async def send(self, content: str) -> str:
        """Send a message by whichever gateway there is; returns its id."""
        while True:
            gateway = await asyncio.shield(self._live)
            try:
                sent = await gateway.send("lobby", self.name, content, client_message_id=content)
            except ConnectionError:
                continue  # that gateway was closed: the next one clears up what became of the send
            return sent.message_id

    def _take(self, event: Event) -> None:
        self._order.check(self.count, event, self.name)
        self.count += 1


class Run:
    """Members and their senders."""

    def __init__(self, app_id: str, client: AsyncClient, members: list[Member], order: Order) -> None:
        self.acknowledged: set[str] = set()
        self.recalled: set[str] = set()
        self.members = members
        self.order = order
        self._app_id = app_id
        self._client = client
        self._is_over = False
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something meanwhile. If it fails, the run fails at its next `progress`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    async def keep_sending(self, member: Member, number: int) -> None:
        """Send, and recall now and then, until `finish`."""
        random = Random(f"{SEED}/{member.name}/{number}")
        count = 0
        while not self._is_over:
            count += 1
            message_id = await member.send(f"{member.name}-{number}-{count}")
            assert message_id not in self.acknowledged, f"{message_id} was acknowledged for two sends"
            self.acknowledged.add(message_id)
            if random.random() < 0.05:
                await self._recall(message_id)
                self.recalled.add(message_id)
            await asyncio.sleep(random.uniform(0, 2 * PAUSE_SECONDS))

    async def progress(self, count: int) -> None:
        """Wait until ``count`` more sends are acknowledged, and everybody has what there is by then."""
        acknowledged = len(self.acknowledged) + count

        def is_there() -> bool:
            self._raise_faults()
            return len(self.acknowledged) >= acknowledged

        await wait_until(is_there, RECOVERY_SECONDS, 0.05, what=f"{count} more sends")
        await self._all_have(len(self.order.events))

    async def finish(self, senders: list[asyncio.Task[None]]) -> None:
        """End the senders, wait until all that they sent has come, and judge."""
        self._is_over = True
        await wait_until(
            lambda: self._raise_faults() or all(task.done() for task in senders),
            RECOVERY_SECONDS,
            what="the last sends",
        )
        await self._all_have(len(self.acknowledged) + len(self.recalled))
        self.acknowledged.add(last := await self.members[0].send("the last one"))
        await wait_until(
            lambda: self._raise_faults() or self.order.events[-1:] == [(MessageSent, last)],
            RECOVERY_SECONDS,
            what="the last message",
        )
        await self._all_have(len(self.order.events))
        self.order.judge(self.acknowledged, self.recalled)

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _all_have(self, count: int) -> None:
        def counts() -> dict[str, int]:
            return {member.name: member.count for member in self.members}

        def is_there() -> bool:
            self._raise_faults()
            return min(counts().values()) >= count

        try:
            await wait_until(is_there, RECOVERY_SECONDS, 0.05, what=f"{count} events at each gateway")
        except AssertionError as error:
            raise AssertionError(f"{error}; they got {counts()}") from None

    async def _recall(self, message_id: str) -> None:
        """Recall a message; what is not known to be done is tried again."""
        try:
            await persistent(self._client, calls.recall_message(self._app_id, message_id))
        except ImcError as refused:
            if refused.code != 40901:  # the first try was done, though its reply was lost
                raise

    def _raise_faults(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()


async def persistent(client: AsyncClient, call: Call[T]) -> T:
    """Carry out a call, again and again until IMC has an answer."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return await client.call(call)
        except (ImcError, httpx.HTTPError) as fault:
            is_final = isinstance(fault, ImcError) and not fault.is_retryable
            if is_final or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


class Installation:
    """Processes with a Redis of their own; gateways come by a proxy that leads to a push-node that is up."""

    def __init__(self, deployment: Deployment, redis: PrivateRedis, proxy: TcpProxy, random: Random) -> None:
        self.proxy = proxy
        self.kills: dict[str, Callable[[], Awaitable[None]]] = {
            "a push-node": lambda: self._kill([random.choice(deployment.push_nodes)]),
            "all push-nodes": lambda: self._kill(deployment.push_nodes),
            "a push-node, gently": self._restart_push_node,
            "a command-api": lambda: self._kill([random.choice(deployment.command_apis)]),
            "all command-apis": lambda: self._kill(deployment.command_apis),
            "Redis": self._kill_redis,
        }
        self._deployment = deployment
        self._redis = redis
        self._random = random

    async def _kill(self, processes: list[Process]) -> None:
        for process in processes:
            await process.kill()
        self._lead_elsewhere()
        await self._outage()
        for process in processes:
            await process.start()

    async def _restart_push_node(self) -> None:
        node = self._random.choice(self._deployment.push_nodes)
        await node.terminate()
        self._lead_elsewhere()
        await self._outage()
        await node.start()

    async def _kill_redis(self) -> None:
        await self._redis.kill()
        await self._outage()
        await self._redis.start()

    def _lead_elsewhere(self) -> None:
        up = [node for node in self._deployment.push_nodes if node.exit_code is None]
        if up:
            self.proxy.lead_new_to("127.0.0.1", self._random.choice(up).port)

    async def _outage(self) -> None:
        await asyncio.sleep(self._random.choice(OUTAGE_SECONDS))


@pytest.fixture
async def installation(database_url: str) -> AsyncGenerator[tuple[Installation, Deployment]]:
    ports = [free_port(), free_port()]
    nodes = [Start({"IMC_ADVERTISE_URL": f"ws://127.0.0.1:{port}"}, port=port) for port in ports]
    async with AsyncExitStack() as stack:
        # What Redis answered is on disk, however slow that is.
        redis = await stack.enter_async_context(private_redis("--appendfsync", "always"))
        deployment = await stack.enter_async_context(
            separate(redis.url, database_url, QUICK, projectors=[Start()], push_nodes=nodes)
        )
        proxy = await stack.enter_async_context(tcp_proxy("127.0.0.1", ports[0]))
        yield Installation(deployment, redis, proxy, Random(SEED)), deployment


@pytest.fixture
async def run(
    installation: tuple[Installation, Deployment], app_id: str, tmp_path: Path
) -> AsyncGenerator[Run]:
    """Two gateways that read steadily, a slow one, and one that comes and goes."""
    proxy, deployment = installation[0].proxy, installation[1]
    order = Order()

    def member(name: str, store: Store, buffer: int = 256) -> Member:
        url = f"http://127.0.0.1:{proxy.port}"
        queries = deployment.query_apis[0].url
        return Member(
            name,
            lambda: connect(url, app_id, name, store=store, queries_url=queries, buffer=buffer),
            order,
            Random(f"{SEED}/{name}"),
        )

    steady = [member("steady-1", MemoryStore()), member("steady-2", FileStore(tmp_path / "steady-2"))]
    slow, restarted = member("slow", MemoryStore(), 8), member("restarted", FileStore(tmp_path / "restarted"))
    async with AsyncClient(deployment.command_apis[0].url) as client:
        run = Run(app_id, client, [*steady, slow, restarted], order)
        try:
            for each in steady:
                run.start(each.read())
            run.start(slow.read_slowly())
            run.start(restarted.read_and_restart())
            yield run
        finally:
            await run.close()


async def live(run: Run, count: int) -> list[asyncio.Task[None]]:
    """Start the senders once every gateway is connected, and wait for their first messages."""
    for member in run.members:
        async with asyncio.timeout(RECOVERY_SECONDS):
            await member.connected()
    senders = [
        run.start(run.keep_sending(member, number)) for member in run.members for number in range(SENDERS)
    ]
    await run.progress(count)
    return senders


@pytest.mark.timeout(600)
async def test_each_kind_of_kill_loses_doubles_and_reorders_nothing(
    run: Run, installation: tuple[Installation, Deployment]
) -> None:
    senders = await live(run, 20)
    for kill in installation[0].kills.values():
        await kill()
        await run.progress(20)
    await run.finish(senders)


@pytest.mark.skipif(not IS_LONG, reason="it runs for an hour: make kills")
@pytest.mark.timeout(MINUTES * 60 + 600)
async def test_random_kills_lose_double_and_reorder_nothing(
    run: Run, installation: tuple[Installation, Deployment]
) -> None:
    random = Random(SEED)
    done: Counter[str] = Counter()
    worst = 0.0
    senders = await live(run, 20)
    deadline = time.monotonic() + MINUTES * 60
    while time.monotonic() < deadline:
        name = random.choice(sorted(installation[0].kills))
        await installation[0].kills[name]()
        ended = time.monotonic()
        # Sometimes the next kill comes before all is well again.
        await run.progress(random.choice((1, 20, 100)))
        worst = max(worst, time.monotonic() - ended)
        done[name] += 1
    await run.finish(senders)
    events = len(run.order.events)
    print(  # noqa: T201
        f"seed {SEED}: {dict(done)} killed; {len(run.acknowledged)} sends, {len(run.recalled)} recalls; "
        f"{events} events at each of {len(run.members)} gateways, none lost, doubled or out of order; "
        f"at most {worst:.1f} s from a kill's end until all gateways had the next messages"
    )
