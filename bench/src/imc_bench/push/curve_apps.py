"""Curve: CPU time per delivery over the number of apps that share a push-node."""

import asyncio
import contextlib
import time

import uvloop

from imc_bench import rounds
from imc_bench.cpu import cpu_seconds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, PUSH_BYTES
from imc_bench.push.imc_relay import imc
from imc_bench.rows import Curve, Result, Scale, Spread

APPS = (1, 10, 100, 1000)
GATEWAYS = 1_000
"""Gateways of all apps together, spread evenly."""

BURST = 10
"""Messages sent to an app at once."""

TITLE = f"{GATEWAYS:,} gateways, of one app to an app each"


def measure(scale: Scale) -> list[Result]:
    """Measure bursts to one app after the other."""
    points = uvloop.run(_measure(scale))
    return [
        Result(
            row="apps",
            name=TITLE,
            figures={f"IMC at {apps:,}": points[apps] for apps in (APPS[0], APPS[-1])},
            checks=[DELIVERED, "no app received a message of another"],
            curve=Curve(TITLE, "apps", "microseconds of CPU a delivery", {"IMC": points}),
        )
    ]


async def _measure(scale: Scale) -> dict[float, Spread]:
    points: dict[float, Spread] = {}
    async with installation() as own:
        relay = await imc(own)
        for apps in APPS:
            async with contextlib.AsyncExitStack() as stack:
                rooms = [
                    await stack.enter_async_context(load.room(relay, GATEWAYS // apps, PUSH_BYTES, senders=1))
                    for _ in range(apps)
                ]
                costs = [await _cost(rooms, scale.seconds) for _ in range(5)]
            points[apps] = rounds.spread(costs, "µs/delivery")
    return points


async def _cost(rooms: list[load.Room], seconds: float) -> float:
    """Microseconds of CPU per delivery in the push-node, while bursts go to all rooms in turn."""
    [pid] = rooms[0].relay.pids
    before, ends, deliveries = cpu_seconds(pid), time.perf_counter() + seconds, 0
    bursts = [0] * len(rooms)

    async def send(first: int) -> None:
        while True:
            for number in range(first, len(rooms), load.SENDERS):
                if time.perf_counter() > ends:
                    return
                bursts[number] += 1
                await rooms[number].senders[0].send(BURST)

    await asyncio.gather(*map(send, range(min(load.SENDERS, len(rooms)))))
    for room, count in zip(rooms, bursts, strict=True):
        deliveries += await room.delivered(count * BURST)
    return (cpu_seconds(pid) - before) / deliveries * 1e6
