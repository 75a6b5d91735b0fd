"""The table of goals and results, as text for a terminal and as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from imc_bench import catalogue
from imc_bench.rows import Result, Spread


@dataclass(frozen=True)
class Words:
    """The words of the table in one language."""

    heads: tuple[str, ...]
    met: str
    not_met: str
    missing: str


ENGLISH = Words(("#", "what", "goal", "measured", "ratio", ""), "**met**", "not met", "missing")


def verdict(result: Result) -> str:
    """``met``, ``not met``, ``missing: …``, or an empty string if there is no goal."""
    if result.met is not None:
        return "met" if result.met else "not met"
    return f"missing: {', '.join(result.missing)}" if result.missing else ""


def markdown(results: Iterable[Result], words: Words = ENGLISH, docs: str = "docs") -> str:
    """The rows that have goals, as a Markdown table. ``docs`` is the path of docs/ for links.

    Raises `LookupError` if a goal is missed and no decision record says why.
    """
    lines: list[Sequence[str]] = [words.heads, ["---"] * len(words.heads)]
    named: tuple[str, str] | None = None
    for result in results:
        if result.goal:
            # Several goals of one row: show its name once.
            name = ("", "") if named == (result.row, result.name) else (result.row, result.name)
            named = (result.row, result.name)
            lines.append((*name, *_measured(result), _linked(result, words, docs)))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _measured(result: Result) -> tuple[str, str, str]:
    some = list(result.figures.items())[: result.shown]
    figures = "<br>".join(f"{name}: {number(figure)}" for name, figure in some)
    return result.goal, figures, "" if result.ratio is None else digits(result.ratio)


def _linked(result: Result, words: Words, docs: str) -> str:
    if result.met is None:
        return f"{words.missing}: {', '.join(result.missing)}" if result.missing else ""
    if result.met:
        return words.met
    paths = catalogue.records(result.row)
    links = ", ".join(f"[{path.name[:4]}]({docs}/decisions/{path.name})" for path in paths)
    return f"{words.not_met}: {links}"


def number(figure: Spread) -> str:
    """Format a figure: three significant digits, thousands separators, unit."""
    return f"{digits(figure.median)} {figure.unit}".strip()


def digits(value: float) -> str:
    """Format a number: three significant digits, thousands separators."""
    if abs(value) >= 999.5:
        length = len(str(round(abs(value))))
        return f"{round(value, 3 - length):,.0f}"
    return f"{value:.3g}"


def text(results: Sequence[Result]) -> str:
    """Each result as lines for a terminal: verdict, goal, figures with minimum and maximum, checks."""
    return "\n".join(_lines(result) for result in results)


def _lines(result: Result) -> str:
    head = f"{result.row:>9}  {result.name}"
    lines = [f"{head}: {verdict(result)}" if verdict(result) else head]
    if result.goal:
        ratio = "" if result.ratio is None else f" (ratio {digits(result.ratio)})"
        lines.append(f"goal: {result.goal}{ratio}")
    for name, figure in result.figures.items():
        lines.append(f"{name}: {number(figure)} ({digits(figure.low)} to {digits(figure.high)})")
    lines += [f"checked: {check}" for check in result.checks]
    lines += [f"missing: {peer} is not installed" for peer in result.missing]
    return f"\n{' ' * 11}".join(lines)
