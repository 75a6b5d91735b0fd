"""The table of goals with what was measured, for a terminal and for the README."""

from collections.abc import Iterable, Sequence

from imc_bench.rows import Result, Spread

FIGURES = 4
"""How many figures of a row the table of the README shows."""


def verdict(result: Result) -> str:
    """``met``, ``not met``, ``missing: …`` or nothing, where there is no goal."""
    if result.met is not None:
        return "met" if result.met else "not met"
    return f"missing: {', '.join(result.missing)}" if result.missing else ""


def cells(result: Result) -> tuple[str, ...]:
    """What stands in each column of its row: of its figures the first few, which the goal is about."""
    some = list(result.figures.items())[:FIGURES]
    figures = "<br>".join(f"{name}: {number(figure)}" for name, figure in some)
    ratio = "" if result.ratio is None else _digits(result.ratio)
    return (result.row, result.name, result.goal, figures, ratio, verdict(result))


def number(figure: Spread) -> str:
    """A figure as people read it, with its unit: three digits, thousands apart."""
    return f"{_digits(figure.median)} {figure.unit}".strip()


def _digits(value: float) -> str:
    if abs(value) >= 999.5:
        digits = len(str(round(abs(value))))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def markdown(results: Iterable[Result], heads: Sequence[str]) -> str:
    """The rows that have goals, as a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *(cells(result) for result in results if result.goal)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def titles(results: Iterable[Result]) -> str:
    """What the curve over gateways shows, in words."""
    return next((each.name for each in results if each.row == "gateways"), "")


def text(results: Sequence[Result]) -> str:
    """Each result as a few lines for a terminal: verdict, goal, each figure with its extremes, checks."""
    return "\n".join(_lines(result) for result in results)


def _lines(result: Result) -> str:
    head = f"{result.row:>9}  {result.name}"
    told = [f"{head}: {verdict(result)}" if verdict(result) else head]
    if result.goal:
        ratio = "" if result.ratio is None else f" (ratio {_digits(result.ratio)})"
        told.append(f"goal: {result.goal}{ratio}")
    for name, figure in result.figures.items():
        told.append(f"{name}: {number(figure)} ({_digits(figure.low)} to {_digits(figure.high)})")
    told += [f"checked: {check}" for check in result.checks]
    told += [f"missing: {peer} is not installed" for peer in result.missing]
    return f"\n{' ' * 11}".join(told)
