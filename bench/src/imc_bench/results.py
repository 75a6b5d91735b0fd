"""Saves and loads runs as JSON files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from imc_bench import catalogue
from imc_bench.rows import Result, Spread


@dataclass(frozen=True)
class Run:
    """All results of one scale. Rows may be measured on different days: each result has its own."""

    command: str
    scale: str
    results: list[Result]

    def with_results(self, results: Sequence[Result]) -> "Run":
        """Return the run with ``results`` in place of older ones of the same rows, sorted by row."""
        measured = {result.row for result in results}
        kept = [result for result in self.results if result.row not in measured]
        order = list(catalogue.MODULES)
        both = sorted([*kept, *results], key=lambda result: order.index(result.row))
        return Run(self.command, self.scale, both)

    def figure(self, row: str, name: str) -> Spread | None:
        """The figure ``name`` of the first result of ``row`` that has it, or None."""
        named = (each.figures[name] for each in self.results if each.row == row and name in each.figures)
        return next(named, None)


def measured_on(results: Sequence[Result], between: str = " on ") -> str:
    """The days and the machines of some results, for captions."""
    days = sorted({result.date for result in results})
    machines = list(dict.fromkeys(result.machine for result in results))
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""
    return f"{when}{between}{' / '.join(machines)}"


def save(run: Run, path: Path) -> None:
    """Save a run. The folder is created if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(run, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n")


def load(path: Path) -> Run:
    """Load a run. Raises `FileNotFoundError`, or `pydantic.ValidationError` if the file is invalid."""
    return TypeAdapter(Run).validate_json(path.read_bytes())
