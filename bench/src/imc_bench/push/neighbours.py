"""Row 10: a busy app beside a thousand quiet ones, compared with the same app alone.

The figure is deliveries of the busy app per CPU-second of its push-node, including the CPU time of the quiet
apps. It is a lower bound: if the load does not keep the push-node busy, the quiet apps use a larger share of
its CPU time than of a whole core. The CPU time without traffic is reported too. It must not be subtracted,
since a busy node polls its quiet apps less often than an idle one.
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
"""The time between two messages of a quiet app."""

SHARE_OF_ALONE = 0.9


def measure(scale: Scale) -> list[Result]:
    """Measure two push-nodes in turn: one with a busy app, the other with a busy app and the quiet ones."""
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
    """Saturate the busy app, then measure the push-node while that app has no traffic."""
    figures = await load.saturate(room, seconds)
    [pid] = room.relay.pids
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    return {**figures, "idle": (cpu_seconds(pid) - before) / (time.perf_counter() - began)}


@contextlib.asynccontextmanager
async def _quiet_apps(own: Installation) -> AsyncGenerator[None]:
    """Connect the quiet apps to the second node, with one gateway each, and send a message now and then."""
    relay = await imc(own, 1)
    async with contextlib.AsyncExitStack() as stack:
        rooms: list[load.Room] = []
        for _ in range(QUIET_APPS):
            rooms.append(await stack.enter_async_context(load.room(relay, 1, PUSH_BYTES, senders=1)))
            # The first message of an app creates its log, which costs more than later ones.
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
