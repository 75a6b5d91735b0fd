"""Row 10: a hot app beside a thousand quiet ones, and the same app alone.

Judged by deliveries of the hot app per CPU-second of its push-node, with all that the quiet apps cost in it:
a lower bound. Where the load can't keep the push-node busy, their share of its CPU time is larger than it
would be of a whole core. What the node uses while the hot app has no traffic is told too; it may not be
subtracted, since a busy node looks at its quiet apps less often than an idle one.
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
from imc_bench.push.fan_out import DELIVERED, FIGURE, GATEWAYS, PUSH_BYTES
from imc_bench.push.imc_relay import imc
from imc_bench.rows import Result, Scale

QUIET_APPS = 1_000
QUIET_SECONDS = 30.0
"""How often a quiet app gets a message."""

SHARE_OF_ALONE = 0.9


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
        contenders: dict[str, rounds.Measure] = {
            "alone": partial(_busy_then_idle, alone, scale.seconds),
            "beside quiet apps": partial(_busy_then_idle, beside, scale.seconds),
        }
        found = await rounds.alternate(contenders, scale.rounds)
    figures = {name: rounds.spread(each[FIGURE], "deliveries/CPU-s") for name, each in found.items()}
    ratio = figures["beside quiet apps"].median / figures["alone"].median
    return Result(
        row="10",
        name=f"a hot app beside {QUIET_APPS:,} quiet ones",
        figures={
            **figures,
            **{
                f"{name}, {words}": rounds.spread([100 * share for share in each[figure]], "% of a core")
                for name, each in found.items()
                for figure, words in (("idle", "without traffic"), ("share of the core", "with it"))
            },
        },
        goal=f"at least {SHARE_OF_ALONE:.0%} of alone",
        ratio=ratio,
        met=ratio >= SHARE_OF_ALONE,
        checks=[DELIVERED, "every quiet app got its own messages and none of another's"],
    )


async def _busy_then_idle(room: load.Room, seconds: float) -> Mapping[str, float]:
    """Saturate the hot app; then see what the push-node uses while that has no traffic."""
    figures = await load.saturate(room, seconds)
    [pid] = room.relay.pids
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    return {**figures, "idle": (cpu_seconds(pid) - before) / (time.perf_counter() - began)}


@contextlib.asynccontextmanager
async def _quiet_apps(own: Installation) -> AsyncGenerator[None]:
    """Apps of one gateway each at the second node, each with a message now and then."""
    relay = await imc(own, 1)
    async with contextlib.AsyncExitStack() as stack:
        rooms: list[load.Room] = []
        for _ in range(QUIET_APPS):
            rooms.append(await stack.enter_async_context(load.room(relay, 1, PUSH_BYTES, senders=1)))
            # Its first message begins its log, which costs more, and happens once in the life of an app.
            await rooms[-1].senders[0].send(1)
        sent = [1] * len(rooms)
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
