"""Tells what became of the rows: as text for people, as JSON for programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from imc_command_api.migrations.adopt.progress import Progress, TableProgress
from imc_command_api.migrations.adopt.rejects import Reject

ROWS_A_SECOND = 4_000
"""What two busy cores copy."""

_LINES: tuple[tuple[str, Callable[[TableProgress], int]], ...] = (
    ("read", lambda part: part.read),
    ("copied", lambda part: part.copied),
    ("already there", lambda part: part.already_there),
    ("duplicates that differ", lambda part: part.duplicates),
    ("rejected", lambda part: part.rejected.total()),
    ("recalled or deleted later", lambda part: part.retired_later),
)
_WIDTH = 24


@dataclass
class Report:
    """The outcome of a run; counts are those of all runs from this source."""

    source: str
    progress: Progress
    seconds: float
    ended: str
    """``done``, ``interrupted`` or ``failed``."""

    final: bool
    missed: dict[str, int] = field(default_factory=dict[str, int])
    """By table, how many more rows there are than were read, after a final run."""

    def text(self) -> Iterator[str]:
        """Lines for people."""
        yield f"Copied from {self.source}, over all runs:"
        yield from _table(self.progress.tables)
        yield from _reasons(self.progress.tables)
        if self.progress.rejects_bytes or self.progress.earlier_rejects_files:
            files = [*self.progress.earlier_rejects_files, *_given(self.progress)]
            yield f"Rows that were not copied are in {', '.join(files)}."
        yield f"This run took {self.seconds:.0f} s."
        yield from self._next_step()

    def _next_step(self) -> Iterator[str]:
        if self.ended != "done":
            yield "It ended early. Everything above is committed: run it again, without --again, to go on."
        elif not self.final:
            yield "The Java version may go on. Run it again to copy what is new. Once the Java version has"
            yield "stopped, run it with --final, which also finds what was recalled after it was copied."
        for table, number in self.missed.items():
            yield f"{table} has {number} rows more than were read: run it with --again, which reads all rows."

    def json(self) -> bytes:
        """The same as one JSON document."""
        document: dict[str, Any] = {
            "source": self.source,
            "ended": self.ended,
            "final": self.final,
            "seconds": round(self.seconds, 3),
            "tables": {name: _counts(part) for name, part in self.progress.tables.items()},
            "rejectsFiles": [*self.progress.earlier_rejects_files, *_given(self.progress)],
            "missed": self.missed,
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@dataclass
class DryReport:
    """The outcome of a dry run."""

    source: str
    tables: Mapping[str, TableProgress]
    examples: Mapping[str, Sequence[Reject]]
    seconds: float

    @property
    def expected_seconds(self) -> float:
        """How long a run may take."""
        return max(sum(part.read for part in self.tables.values()) / ROWS_A_SECOND, self.seconds)

    def text(self) -> Iterator[str]:
        """Lines for people."""
        yield f"Nothing was written. A run from {self.source} would do this:"
        yield from _table(self.tables)
        yield from _reasons(self.tables)
        for reason, rejects in self.examples.items():
            for reject in rejects:
                named = f"{reject.columns[0]} {reject.values[0]!r} of app_id {reject.values[1]!r}"
                yield f"  for example {reject.table}, id {reject.id}, {named}: {reason}"
        yield f"Reading took {self.seconds:.0f} s. A run takes some {_duration(self.expected_seconds)}."

    def json(self) -> bytes:
        """The same as one JSON document."""
        document: dict[str, Any] = {
            "source": self.source,
            "ended": "dry run",
            "seconds": round(self.seconds, 3),
            "expectedSeconds": round(self.expected_seconds, 3),
            "tables": {name: _counts(part) for name, part in self.tables.items()},
        }
        return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _given(progress: Progress) -> list[str]:
    return [progress.rejects_file] if progress.rejects_file and progress.rejects_bytes else []


def _counts(part: TableProgress) -> dict[str, Any]:
    return {_camel(name): value for name, value in vars(part).items() if name != "gaps"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _table(tables: Mapping[str, TableProgress]) -> Iterator[str]:
    if not tables:
        return
    yield f"{'':{_WIDTH + 4}}" + "".join(f"{name:>{_WIDTH}}" for name in tables)
    for label, count in _LINES:
        cells = "".join(f"{count(part):>{_WIDTH},}" for part in tables.values())
        yield f"  {label:<{_WIDTH + 2}}{cells}"


def _reasons(tables: Mapping[str, TableProgress]) -> Iterator[str]:
    for name, part in tables.items():
        for reason, number in part.rejected.most_common():
            yield f"  {name}: {number:,} rejected: {reason}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{max(seconds, 1):.0f} s"
