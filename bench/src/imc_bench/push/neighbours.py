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
    capacities = {name: _capacity(each) for name, each in found.items()}
    ratio = capacities["beside quiet apps"] / capacities["alone"]
    return Result(
        row="10",
        name=f"a hot app beside {QUIET_APPS:,} quiet ones",
        figures={
            **{name: Spread(each, each, each, "deliveries/s of a core") for name, each in capacities.items()},
            **{
                f"{name}, without traffic": rounds.spread(
                    [100 * share for share in each["idle"]], "% of a core"
                )
                for name, each in found.items()
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


def _capacity(found: Mapping[str, list[float]]) -> float:
    """Deliveries a second of a whole core, over all rounds together: one alone has too few of them."""
    idle = sum(found["idle"]) / len(found["idle"])
    rounds_found = zip(found["deliveries per CPU-second"], found["seconds of CPU"], strict=True)
    deliveries = sum(rate * spent for rate, spent in rounds_found)
    of_hot_app = sum(found["seconds of CPU"]) - idle * sum(found["seconds"])
    return (1 - idle) * deliveries / of_hot_app


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
