"""Runs as JSON files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter

from imc_bench import catalogue
from imc_bench.rows import Result


@dataclass(frozen=True)
class Run:
    """All that one run found, and where and how."""

    date: str
    """The day, as YYYY-MM-DD."""
    machine: str
    command: str
    scale: str
    results: list[Result]

    def with_results(self, results: Sequence[Result]) -> "Run":
        """The same run with ``results`` in place of older ones of the same rows, in the order of all rows."""
        measured = {result.row for result in results}
        kept = [result for result in self.results if result.row not in measured]
        order = list(catalogue.MODULES)
        both = sorted([*kept, *results], key=lambda result: order.index(result.row))
        return Run(self.date, self.machine, self.command, self.scale, both)


def save(run: Run, path: Path) -> None:
    """Write a run; the folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(run, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS) + b"\n")


def load(path: Path) -> Run:
    """Read a run; raises `FileNotFoundError`, or `pydantic.ValidationError` if it is none."""
    return TypeAdapter(Run).validate_json(path.read_bytes())
