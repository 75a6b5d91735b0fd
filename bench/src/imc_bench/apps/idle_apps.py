"""Row 14: CPU time of a whole installation while nothing happens in any of its apps."""

import asyncio

import uvloop

from imc_bench import rounds
from imc_bench.apps.whole import Whole, gateways, ids_of, whole
from imc_bench.rows import Curve, Result, Scale, Spread

GATEWAYS = 10_000
"""The most apps that have a gateway each. More connections than that are row 9's."""

GOALS = {10_000: 3.0, 100_000: 5.0}
"""The most that all may use together, in percent of a core, by the number of apps."""

SETTLE_SECONDS = 15.0
TITLE = "Idle apps, all processes and their servers together"


def measure(scale: Scale) -> list[Result]:
    """Measure an installation with more and more apps that are idle."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    counts = (0, 100, 10_000) if scale.name == "short" else (0, 100, 10_000, 100_000)
    lines: dict[str, dict[float, Spread]] = {}
    known = 0
    async with whole() as own:
        for apps in counts:
            every = ids_of(apps)
            await own.send_to_each(every[known:])
            known = apps
            async with gateways(own.deployment.push_nodes[0].port, every[:GATEWAYS]) as audiences:
                await asyncio.sleep(SETTLE_SECONDS)
                for part, shares in (await _shares(own, scale)).items():
                    lines.setdefault(part, {})[apps] = rounds.spread(shares, "% of a core")
                for audience in audiences.values():
                    audience.check({})
    together = lines["together"]
    ratios = {apps: together[apps].median / goal for apps, goal in GOALS.items() if apps in together}
    return Result(
        row="14",
        name="idle apps, each with a log, up to 10,000 of them with a gateway",
        figures={f"{apps:,} apps": together[apps] for apps in counts}
        | {f"{part} at 10,000": line[10_000] for part, line in lines.items() if part != "together"},
        goal=", ".join(f"at most {goal:g}% of a core at {apps:,}" for apps, goal in GOALS.items()),
        ratio=max(ratios.values()),
        met=max(ratios.values()) <= 1,
        checks=["every app's message is in the database", "no gateway was cut or received a push"],
        curve=Curve(TITLE, "apps", "percent of a core", lines),
    )


async def _shares(own: Whole, scale: Scale) -> dict[str, list[float]]:
    """Percent of a core that each part uses, and all together: one value a round."""
    found: dict[str, list[float]] = {}
    loop = asyncio.get_running_loop()
    for _ in range(5):
        before, began = own.cpu(), loop.time()
        await asyncio.sleep(scale.of(4, 12))
        taken = loop.time() - began
        shares = {part: 100 * (used - before[part]) / taken for part, used in own.cpu().items()}
        for part, share in (shares | {"together": sum(shares.values())}).items():
            found.setdefault(part, []).append(share)
    return found
