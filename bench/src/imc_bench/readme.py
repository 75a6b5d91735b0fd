"""``python -m imc_bench.readme``: the READMEs' table of goals, from the results of the last full run.

``--check`` only compares, and ends with status 1 if one is stale.
"""

import sys
from pathlib import Path

from imc_bench import results, table
from imc_bench.results import Run

ROOT = Path(__file__).parents[3]
FULL = ROOT / "bench" / "results" / "full.json"
PICTURE = "bench/results/gateways.png"
BEGIN = "<!-- measurements: made by `make bench-table` -->\n"
END = "<!-- measurements end -->"
HEADS = {
    "README.md": ("#", "what", "goal", "measured", "ratio", ""),
    "README.zh-CN.md": ("#", "内容", "目标", "测得", "比值", ""),
}
CAPTIONS = {
    "README.md": "Measured on {date} on {machine}, by `{command}`.",
    "README.zh-CN.md": "{date} 在 {machine} 上用 `{command}` 测得。",
}


def section(name: str, run: Run) -> str:
    """What stands between the marks of the README ``name``."""
    caption = CAPTIONS[name].format(date=run.date, machine=run.machine, command=run.command)
    made = table.markdown(run.results, HEADS[name])
    return f"{caption}\n\n{made}\n![{table.titles(run.results)}]({PICTURE})\n"


def with_section(text: str, made: str) -> str:
    """A README with ``made`` between its marks; raises `ValueError` if it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no {BEGIN.strip()} … {END}")
    return before + BEGIN + made + END + after


def main() -> None:
    """Write the tables, or compare them."""
    run = results.load(FULL)
    stale: list[str] = []
    for name in HEADS:
        path = ROOT / name
        text = path.read_text()
        made = with_section(text, section(name, run))
        if made != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(made)
    if stale and "--check" in sys.argv:
        sys.exit(f"the measurements in {', '.join(stale)} are stale: make bench-table")


if __name__ == "__main__":
    main()
