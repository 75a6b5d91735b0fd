"""Row 10: a hot app beside a thousand quiet ones, and the same app alone.

Compared is what a whole core would deliver of the hot app: it has what quiet apps leave of the core, and
pays for each delivery what was measured beyond that. (The load may be too slow to keep a push-node busy all
the time: to divide by its CPU time alone would then make the quiet apps' share of it larger than it is.)
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds
from imc_bench.installation import Installation, installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, GATEWAYS, PUSH_BYTES
from imc_bench.push.imc_relay import imc
from imc_bench.rows import Result, Scale, Spread

QUIET_APPS = 1_000
QUIET_SECONDS = 30.0
"""How often a quiet app gets a message."""

SHARE_OF_ALONE = 0.9
_FIGURE = "deliveries a second of a core"


def measure(scale: Scale) -> list[Result]:
    """Measure two push-nodes in turn: one holds a hot app, the other a hot app and all the quiet ones."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation(push_nodes=2))
        alone, beside = [
            await stack.enter_async_context(load.room(await imc(own, node), GATEWAYS, PUSH_BYTES))
            for node in range(2)
        ]
        await stack.enter_async_context(_quiet_apps(own))
        idle = {"alone": await _idle(alone, scale), "beside quiet apps": await _idle(beside, scale)}
        contenders: dict[str, rounds.Measure] = {
            "alone": partial(_capacity, alone, scale.seconds, idle["alone"]),
            "beside quiet apps": partial(_capacity, beside, scale.seconds, idle["beside quiet apps"]),
        }
        found = await rounds.alternate(contenders, scale.rounds)
    figures = {name: rounds.spread(each[_FIGURE], "deliveries/s of a core") for name, each in found.items()}
    ratio = figures["beside quiet apps"].median / figures["alone"].median
    quiet = 100 * (idle["beside quiet apps"] - idle["alone"])
    return Result(
        row="10",
        name=f"a hot app beside {QUIET_APPS:,} quiet ones",
        figures={**figures, "the quiet apps": Spread(quiet, quiet, quiet, "% of a core")},
        goal=f"at least {SHARE_OF_ALONE:.0%} of alone",
        ratio=ratio,
        met=ratio >= SHARE_OF_ALONE,
        checks=[DELIVERED, "every quiet app got its own messages and none of another's"],
    )


async def _idle(room: load.Room, scale: Scale) -> float:
    """The share of a core that a push-node uses while its hot app has no traffic."""
    [pid] = room.relay.pids
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(scale.of(3, 10))
    return (cpu_seconds(pid) - before) / (time.perf_counter() - began)


async def _capacity(room: load.Room, seconds: float, idle: float) -> Mapping[str, float]:
    figures = await load.saturate(room, seconds)
    deliveries = figures["deliveries per CPU-second"] * figures["seconds of CPU"]
    of_hot_app = figures["seconds of CPU"] - idle * figures["seconds"]
    return {_FIGURE: (1 - idle) * deliveries / of_hot_app}


@contextlib.asynccontextmanager
async def _quiet_apps(own: Installation) -> AsyncGenerator[None]:
    """Apps of one gateway each at the second node, each with a message now and then."""
    relay = await imc(own, 1)
    async with contextlib.AsyncExitStack() as stack:
        rooms: list[load.Room] = []
        for _ in range(QUIET_APPS):
            rooms.append(await stack.enter_async_context(load.room(relay, 1, PUSH_BYTES, senders=1)))
        sent = [0] * len(rooms)
        chatting = asyncio.create_task(_chat(rooms, sent))
        yield
        chatting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chatting
        for room, count in zip(rooms, sent, strict=True):
            await room.delivered(count)


async def _chat(rooms: list[load.Room], sent: list[int]) -> None:
    while True:
        for number, room in enumerate(rooms):
            await asyncio.sleep(QUIET_SECONDS / len(rooms))
            sent[number] += 1
            await room.senders[0].send(1)
