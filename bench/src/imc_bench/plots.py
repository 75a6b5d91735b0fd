"""Draws curves as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from imc_bench.rows import Curve, Spread

INCHES = (7.2, 4.2)
DOTS_PER_INCH = 140
_COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774", "#1f1f1f", "#c9a227")
_GREY = "#8a8a8a"


def draw(curve: Curve, path: Path) -> None:
    """Draw the medians as lines, with bands from minimum to maximum. Both axes are logarithmic."""
    figure: Any = matplotlib.figure.Figure(INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for (name, points), colour in zip(curve.lines.items(), _COLOURS * len(curve.lines), strict=False):
        xs = sorted(points)
        axes.plot(xs, [points[x].median for x in xs], marker="o", markersize=4, color=colour, label=name)
        lows, highs = [points[x].low for x in xs], [points[x].high for x in xs]
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.13, linewidth=0)
    _set_x_axis(axes, sorted({x for points in curve.lines.values() for x in points}))
    _set_y_axis(axes, [figure for points in curve.lines.values() for figure in points.values()])
    axes.set_title(curve.title, loc="left", pad=12, fontweight="bold")
    axes.set(xlabel=curve.x, ylabel=curve.y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.minorticks_off()
    axes.tick_params(color=_GREY)
    axes.grid(visible=True, axis="y", color=_GREY, alpha=0.25)
    # Below the chart, so that the legend hides no lines.
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _set_x_axis(axes: Any, xs: Sequence[float]) -> None:
    """Put a tick at each measured value. A zero stands one step before the others."""
    if xs[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=xs[1], linscale=0.5)
    axes.set_xticks(xs, [f"{x:,.0f}" for x in xs])


def _set_y_axis(axes: Any, figures: Sequence[Spread]) -> None:
    """Put ticks at powers of ten, and between them if the range is small."""
    axes.set_yscale("log")
    low, high = min(each.low for each in figures), max(each.high for each in figures)
    axes.set_ylim(low / 1.3, high * 1.3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.15g}"))
