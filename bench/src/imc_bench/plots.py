"""Curves as PNG files."""

from pathlib import Path
from typing import Any

import matplotlib.figure

from imc_bench.rows import Curve

INCHES = (6.4, 4.0)
DOTS_PER_INCH = 120


def draw(curve: Curve, path: Path) -> None:
    """Draw each line with the band from its least to its most; both axes are logarithmic."""
    figure: Any = matplotlib.figure.Figure(INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curve.lines.items():
        xs = sorted(points)
        axes.plot(xs, [points[x].median for x in xs], marker="o", markersize=3, label=name)
        axes.fill_between(xs, [points[x].low for x in xs], [points[x].high for x in xs], alpha=0.2)
    smallest = min(x for points in curve.lines.values() for x in points)
    axes.set_xscale("log" if smallest > 0 else "symlog")
    axes.set_yscale("log")
    axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
