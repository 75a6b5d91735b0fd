"""Row ``groups``: what gateways cost that hold 2% of the groups each, beside gateways that get everything."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from random import Random

import orjson
import uvloop

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds
from imc_bench.installation import Installation, installation
from imc_bench.push import order
from imc_bench.push.audience import Audience
from imc_bench.push.imc_relay import imc_greeting, imc_path
from imc_bench.push.listener import Greeting, Listener
from imc_bench.push.publishers import HttpSender
from imc_bench.rows import InvalidRun, Result, Scale

GATEWAYS = 100
BLOCKS = 50
"""A gateway holds the groups of one block, 2% of all."""

GROUPS_A_BLOCK = 100
CONTENT_BYTES = 100
BATCH = 100
WINDOW = 2000
"""The most messages that are not delivered yet."""

POSITION_SECONDS = 30.0
"""The longest until a gateway without pushes is told its position."""

CPU, BYTES, DELIVERIES = "CPU of push-node a message", "bytes pushed a message", "deliveries a message"


def measure(scale: Scale) -> list[Result]:
    """Measure the CPU of the push-node and the bytes that it writes, for the same messages."""
    return [uvloop.run(_measure(scale))]


class Crowd:
    """The gateways of an app, in audiences that get the same frames, and who sends to them."""

    def __init__(self, own: Installation, audiences: Mapping[int, Audience], app_id: str) -> None:
        self._own = own
        self._audiences = audiences
        """By block; those of all blocks are the same if everybody gets everything."""
        self._app_id = app_id
        self._numbers = [0] * BLOCKS
        self._random = Random(1)  # noqa: S311 - repeatable
        self._sender = HttpSender(own.deployment.command_apis[0].port)

    async def push(self, count: int) -> Mapping[str, float]:
        """Send ``count`` messages; returns what each has cost. Raises `InvalidRun` if one is lost."""
        first, pid = list(self._numbers), self._own.deployment.push_nodes[0].pid
        began, sent = cpu_seconds(pid), 0
        while sent < count:
            if self._undelivered(first) >= WINDOW:
                await asyncio.sleep(0.001)
                continue
            await self._send()
            sent += BATCH
        ranges = {block: range(first[block], self._numbers[block]) for block in range(BLOCKS)}
        size = deliveries = 0
        for audience, blocks in self._blocks():
            await audience.delivered(sum(len(ranges[block]) for block in blocks))
            size += len(audience.stream.frames) * len(audience.listeners)
        spent = cpu_seconds(pid) - began
        for audience, blocks in self._blocks():
            deliveries += audience.check({block: ranges[block] for block in blocks})
        return {CPU: spent / count * 1e6, BYTES: size / count, DELIVERIES: deliveries / count}

    async def settle(self) -> None:
        """Wait until all gateways are told their position, and forget that: nothing else comes then."""
        for audience, _ in self._blocks():
            async with asyncio.timeout(POSITION_SECONDS):
                await audience.delivered(1)
            if b'"code":2008' not in audience.stream.frames:
                raise InvalidRun("a gateway was told something else than its position")
            audience.stream.clear()
            for listener in audience.listeners:
                listener.reading.position = 0

    def _blocks(self) -> list[tuple[Audience, list[int]]]:
        found: dict[Audience, list[int]] = {}
        for block, audience in self._audiences.items():
            found.setdefault(audience, []).append(block)
        return list(found.items())

    def _undelivered(self, first: Sequence[int]) -> int:
        sent = sum(self._numbers) - sum(first)
        return sent - sum(audience.stream.count for audience, _ in self._blocks())

    async def _send(self) -> None:
        messages: list[Mapping[str, str]] = []
        for _ in range(BATCH):
            block = self._random.randrange(BLOCKS)
            mark = order.mark(self._app_id, block, self._numbers[block]).ljust(CONTENT_BYTES, ".")
            self._numbers[block] += 1
            group = group_id(block, self._random.randrange(GROUPS_A_BLOCK))
            messages.append({"appId": self._app_id, "groupId": group, "userId": "user-1", "content": mark})
        await self._sender.post("/v1/commands/send-messages", orjson.dumps({"messages": messages}))

    def close(self) -> None:
        """Close all connections."""
        self._sender.close()
        for audience, _ in self._blocks():
            audience.close()


def group_id(block: int, number: int) -> str:
    """The groups of a block."""
    return f"group-{block:02}-{number:03}"


def _listing(block: int) -> Greeting:
    """Lists the groups of a block after the 2000; the greeting ends with the 2007."""

    def take(listener: Listener, payload: bytes) -> bool:
        if orjson.loads(payload)["code"] == 2007:
            return True
        imc_greeting(listener, payload)
        groups = [group_id(block, number) for number in range(GROUPS_A_BLOCK)]
        listener.write(orjson.dumps({"addGroups": groups}))
        return False

    return take


@contextlib.asynccontextmanager
async def _crowd(own: Installation, *, is_listed: bool) -> AsyncGenerator[Crowd]:
    app_id = f"app-{secrets.token_hex(4)}"
    port = own.deployment.push_nodes[0].port
    if is_listed:
        audiences = {block: Audience(app_id) for block in range(BLOCKS)}
        for number in range(GATEWAYS):
            block = number % BLOCKS
            path = imc_path(app_id, number) + "?groups=listed"
            await audiences[block].connect(port, [path], partial(_listing, block))
    else:
        everybody = Audience(app_id)
        await everybody.connect(
            port, [imc_path(app_id, number) for number in range(GATEWAYS)], lambda: imc_greeting
        )
        audiences = dict.fromkeys(range(BLOCKS), everybody)
    crowd = Crowd(own, audiences, app_id)
    try:
        yield crowd
    finally:
        crowd.close()


async def _measure(scale: Scale) -> Result:
    count = scale.of(10_000, 50_000)
    async with (
        installation() as own,
        _crowd(own, is_listed=False) as everything,
        _crowd(own, is_listed=True) as listed,
    ):

        async def measure_listed() -> Mapping[str, float]:
            figures = await listed.push(count)
            await listed.settle()
            return figures

        contenders: Mapping[str, rounds.Measure] = {
            "everything": partial(everything.push, count),
            "listed": measure_listed,
        }
        found = await rounds.alternate(contenders, scale.rounds)
    units = {CPU: "µs", BYTES: "bytes", DELIVERIES: ""}
    figures = {
        f"{name}: {figure}": rounds.spread(found[name][figure], units[figure])
        for figure in units
        for name in contenders
    }
    return Result(
        "groups",
        f"pushes to {GATEWAYS} gateways that hold 2% of the groups each, beside all groups",
        figures,
        checks=["every message once, in order, at each gateway that holds its group, and at no other"],
        shown=6,
    )
