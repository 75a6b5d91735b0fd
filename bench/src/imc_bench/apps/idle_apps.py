"""Row 14: CPU time of a whole installation while nothing happens in any of its apps."""

import asyncio
import statistics
from collections.abc import Mapping

import uvloop

from imc_bench import rounds
from imc_bench.apps.whole import DATABASE, Whole, gateways, ids_of, one_each, whole
from imc_bench.rows import Curve, Result, Scale, Spread

GATEWAYS = 10_000
"""The most apps that have a gateway each. More connections than that are row 9's."""

GOALS = {10_000: 3.0, 100_000: 5.0}
"""The most that all processes and Redis may use together, in percent of a core, by the number of apps.

Without what it takes to ping as many gateways of one app.
"""

SETTLE_SECONDS = 15.0
_UNIT = "% of a core"
_TOGETHER = "together"

TITLE = "Idle apps, all processes and Redis together"


def measure(scale: Scale) -> list[Result]:
    """Measure an installation with more and more apps that are idle."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    counts = (0, 100, 10_000) if scale.name == "short" else (0, 100, 10_000, 100_000)
    lines: dict[str, dict[float, Spread]] = {}
    known = 0
    async with whole(in_memory=True) as own:
        for apps in counts:
            every = ids_of(apps)
            await own.send_to_each(every[known:])
            known = apps
            for part, shares in (await _shares(own, one_each(every[:GATEWAYS]), scale)).items():
                lines.setdefault(part, {})[apps] = rounds.spread(shares, _UNIT)
        of_one = (await _shares(own, {ids_of(1)[0]: GATEWAYS}, scale))[_TOGETHER]
    together = lines[_TOGETHER]
    pings = statistics.median(of_one) - together[0].median
    rest = {apps: together[apps].median - pings for apps in GOALS if apps in together}
    ratios = {apps: used / GOALS[apps] for apps, used in rest.items()}
    return Result(
        row="14",
        name="idle apps, each with a log, up to 10,000 of them with a gateway",
        figures={f"{apps:,} apps": together[apps] for apps in counts}
        | {f"{GATEWAYS:,} gateways of one app": rounds.spread(of_one, _UNIT)}
        | {f"{apps:,} apps without pings": rounds.spread([used], _UNIT) for apps, used in rest.items()}
        | {f"{part} at 10,000": line[10_000] for part, line in lines.items() if part != _TOGETHER},
        goal="all processes and Redis, without the pings of gateways, "
        + ", ".join(f"at most {goal:g}% of a core at {apps:,}" for apps, goal in GOALS.items()),
        ratio=max(ratios.values()),
        met=max(ratios.values()) <= 1,
        checks=["every app's message is in the database", "no gateway was cut or received a push"],
        curve=Curve(TITLE, "apps", "percent of a core", lines),
    )


async def _shares(own: Whole, counts: Mapping[str, int], scale: Scale) -> dict[str, list[float]]:
    """Percent of a core that each part uses, and all but the database together: one value a round.

    ``counts`` is how many gateways each app has.
    """
    found: dict[str, list[float]] = {}
    loop = asyncio.get_running_loop()
    async with gateways(own.deployment.push_nodes[0].port, counts) as audiences:
        await asyncio.sleep(SETTLE_SECONDS)
        for _ in range(5):
            before, began = own.cpu(), loop.time()
            await asyncio.sleep(scale.of(4, 12))
            taken = loop.time() - began
            shares = {part: 100 * (used - before[part]) / taken for part, used in own.cpu().items()}
            together = sum(share for part, share in shares.items() if part != DATABASE)
            for part, share in (shares | {_TOGETHER: together}).items():
                found.setdefault(part, []).append(share)
        for audience in audiences.values():
            audience.check({})
    return found
