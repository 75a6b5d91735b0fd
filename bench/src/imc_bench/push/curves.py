"""Curves of deliveries per CPU-second: IMC and nchan, saturated, in rooms of growing size."""

import contextlib
from collections.abc import Mapping
from functools import partial

import uvloop

from imc_bench import rounds
from imc_bench.installation import installation
from imc_bench.push import load
from imc_bench.push.fan_out import DELIVERED, FIGURE
from imc_bench.push.imc_relay import imc
from imc_bench.push.peer_relays import installed, nchan_relay
from imc_bench.rows import Curve, Result, Scale, Spread

BATCH_BYTES = 100_000
"""The maximum size of a batch; larger messages go in smaller batches."""


def measure_curve(scale: Scale, row: str, title: str, x: str, rooms: Mapping[int, tuple[int, int]]) -> Result:
    """Measure a curve. ``rooms`` maps each x to the number of listeners and the bytes of a push."""
    lines, missing = uvloop.run(_measure(scale, rooms))
    return Result(
        row=row,
        name=title,
        figures={
            f"{name} at {at:,}": points[at]
            for name, points in lines.items()
            for at in (min(rooms), max(rooms))
        },
        checks=[DELIVERED],
        missing=missing,
        curve=Curve(title, x, FIGURE, {name: dict(points) for name, points in lines.items()}),
    )


async def _measure(
    scale: Scale, rooms: Mapping[int, tuple[int, int]]
) -> tuple[dict[str, dict[float, Spread]], list[str]]:
    async with contextlib.AsyncExitStack() as stack:
        own = await stack.enter_async_context(installation())
        peers, missing = await installed(stack, {"nchan": nchan_relay()})
        relays = [await imc(own), *peers]
        lines: dict[str, dict[float, Spread]] = {relay.name: {} for relay in relays}
        for at, (listeners, push_bytes) in rooms.items():
            batch = max(1, min(load.BATCH, BATCH_BYTES // push_bytes))
            async with contextlib.AsyncExitStack() as opened:
                contenders: dict[str, rounds.Measure] = {
                    relay.name: partial(
                        load.saturate,
                        await opened.enter_async_context(load.room(relay, listeners, push_bytes)),
                        scale.seconds / 2,
                        batch,
                    )
                    for relay in relays
                }
                found = await rounds.alternate(contenders, 5)
            for name, each in found.items():
                lines[name][at] = rounds.spread(each[FIGURE], "deliveries/CPU-s")
        return lines, missing
