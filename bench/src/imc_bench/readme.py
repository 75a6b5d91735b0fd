"""``python -m imc_bench.readme``: write tables and charts of the last full run into the documents.

The constants of imc-capacity are made of the same run. ``--check`` only compares, and exits with 1 if a
document is stale.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from imc_bench import comparison, costs, results, table
from imc_bench.capacity import constants
from imc_bench.capacity import document as capacity_document
from imc_bench.results import Run
from imc_bench.table import ENGLISH, Words

ROOT = Path(__file__).parents[3]
FULL = ROOT / "bench" / "results" / "full.json"
PICTURE = "gateways"
"""The curve that docs/performance.md shows."""
BEGIN = "<!-- measurements: made by `make bench-table` -->\n"
END = "<!-- measurements end -->"

CHINESE = Words(("#", "内容", "目标", "测得", "比值", ""), "**达到**", "未达到", "缺少")
_CAPTION = (
    "Measured on {measured_on}, by `{command}`: medians of rounds in which all are measured in turn. "
    "CPU-s is a second of CPU time of the process under measurement: what one core can do. "
    "*Plain* is an ordinary FastAPI application; *bare* does only what can't be avoided. "
    "[bench](../bench/README.md) has the curves over gateways, sizes, apps, rows and backlog."
)
_CHINESE_CAPTION = (
    "{measured_on}，用 `{command}` 测得：各方轮流测量，取各轮的中位数。"
    "CPU-s 指被测进程的一秒 CPU 时间，即一个核的能力。"
    "plain 是普通的 FastAPI 应用，bare 只做不可避免的事。"
    "随网关、大小、应用、行数与积压变化的曲线见 [bench](../bench/README.md)。"
)


def goals(run: Run, words: Words = ENGLISH, caption: str = _CAPTION, between: str = " on ") -> str:
    """The table of goals and one chart, in English by default."""
    shown = [result for result in run.results if result.goal]
    heading = caption.format(measured_on=results.measured_on(shown, between), command=run.command)
    made = table.markdown(shown, words, docs=".")
    return f"{heading}\n\n{made}\n{_pictures(run, '../bench/results', PICTURE)}"


def goals_in_chinese(run: Run) -> str:
    """The table of goals and one chart in Chinese. Names of rows and figures are not translated."""
    return goals(run, CHINESE, _CHINESE_CAPTION, "，")


def curves(run: Run) -> str:
    """All charts."""
    shown = results.measured_on([result for result in run.results if result.curve is not None])
    return f"Measured on {shown}, by `{run.command}`.\n\n{_pictures(run, 'results')}"


DOCUMENTS: dict[str, Callable[[Run], str]] = {
    "README.md": comparison.english,
    "README.zh-CN.md": comparison.chinese,
    "docs/performance.md": goals,
    "docs/performance.zh-CN.md": goals_in_chinese,
    "bench/README.md": curves,
    "docs/operations/scale.md": costs.markdown,
    "docs/operations/scale.zh-CN.md": costs.in_chinese,
    "docs/capacity.md": capacity_document.markdown,
}
"""Documents, with the functions that make the text between their markers."""


def with_section(text: str, made: str) -> str:
    """Return the document with ``made`` between its markers. Raises `ValueError` if it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN.strip()} … {END}")
    return before + BEGIN + made + END + after


def _pictures(run: Run, folder: str, *rows: str) -> str:
    shown = [each for each in run.results if each.curve is not None and (not rows or each.row in rows)]
    return "\n".join(f"![{each.name}]({folder}/{each.row}.png)\n" for each in shown)


def _update_constants(run: Run) -> list[str]:
    """Write the constants of imc-capacity, or check them. Return the file's name if it was stale."""
    made = constants.text(run)
    if constants.FILE.exists() and constants.FILE.read_text() == made and capacity_document.PICTURE.exists():
        return []
    if "--check" not in sys.argv:
        constants.FILE.write_text(made)
        capacity_document.draw(run)
    return [constants.FILE.name]


def main() -> None:
    """Update the documents, or check them."""
    run = results.load(FULL)
    stale = _update_constants(run)
    for name, make in DOCUMENTS.items():
        path = ROOT / name
        text = path.read_text()
        made = with_section(text, make(run))
        if made != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(made)
    if stale and "--check" in sys.argv:
        sys.exit(f"the measurements in {', '.join(stale)} are stale: make bench-table")


if __name__ == "__main__":
    main()
