"""Measures contenders in turn, in rounds, so that disturbances of the machine affect all of them."""

import math
import statistics
from collections.abc import Awaitable, Callable, Iterable, Mapping

from imc_bench.rows import Spread

Measure = Callable[[], Awaitable[Mapping[str, float]]]
"""Measures one contender once, and returns figures by name."""


async def alternate(
    contenders: Mapping[str, Measure], rounds: int, *, warm_up: bool = True
) -> dict[str, dict[str, list[float]]]:
    """Measure each contender ``rounds`` times. Return all values by contender and figure.

    The warm-up is one more round whose values are discarded: caches fill, and connections open.
    """
    found: dict[str, dict[str, list[float]]] = {name: {} for name in contenders}
    for turn in range(-1 if warm_up else 0, rounds):
        for name, measure in contenders.items():
            figures = await measure()
            if turn < 0:
                continue
            for figure, value in figures.items():
                found[name].setdefault(figure, []).append(value)
    return found


def spread(values: Iterable[float], unit: str) -> Spread:
    """Median, minimum and maximum of ``values``. Raises `ValueError` if there are none."""
    values = sorted(values)
    if not values:
        raise ValueError("a figure needs at least one round")
    return Spread(statistics.median(values), values[0], values[-1], unit)


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile of ``values``; ``share`` is from 0 to 1.

    Raises `ValueError` if there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]
