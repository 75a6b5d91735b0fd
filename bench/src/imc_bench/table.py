"""The table of goals with what was measured, for a terminal and for the README."""

from collections.abc import Iterable, Sequence

from imc_bench.rows import Result, Spread

HEADS = ("#", "what", "goal", "measured", "ratio", "")


def verdict(result: Result) -> str:
    """``met``, ``not met``, ``missing: …`` or nothing, where there is no goal."""
    if result.met is not None:
        return "met" if result.met else "not met"
    return f"missing: {', '.join(result.missing)}" if result.missing else ""


def cells(result: Result) -> tuple[str, ...]:
    """What stands in each column of its row."""
    figures = ", ".join(f"{name} {number(figure)}" for name, figure in result.figures.items())
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
    return (result.row, result.name, result.goal, figures, ratio, verdict(result))


def number(figure: Spread) -> str:
    """A figure as people read it, with its unit: three digits, thousands apart."""
    return f"{_digits(figure.median)} {figure.unit}".strip()


def _digits(value: float) -> str:
    if abs(value) >= 1000:
        digits = len(str(int(abs(value))))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def markdown(results: Iterable[Result]) -> str:
    """The table as Markdown."""
    lines = [HEADS, ("---",) * len(HEADS), *(cells(result) for result in results if result.goal)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def text(results: Sequence[Result]) -> str:
    """Each result as a few lines for a terminal: verdict, goal, each figure with its extremes, checks."""
    return "\n".join(_lines(result) for result in results)


def _lines(result: Result) -> str:
    head = f"{result.row:>9}  {result.name}"
    told = [f"{head}: {verdict(result)}" if verdict(result) else head]
    if result.goal:
        ratio = "" if result.ratio is None else f" (ratio {result.ratio:.2f})"
        told.append(f"goal: {result.goal}{ratio}")
    for name, figure in result.figures.items():
        told.append(f"{name}: {number(figure)} ({_digits(figure.low)} to {_digits(figure.high)})")
    told += [f"checked: {check}" for check in result.checks]
    told += [f"missing: {peer} is not installed" for peer in result.missing]
    return f"\n{' ' * 11}".join(told)
