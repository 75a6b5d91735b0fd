"""What commands print: tables for people, lines with tabs for pipes, JSON for programs, bars of progress."""

import io
import json
import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from imc_service.standard_streams import say
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Cell = str | int | float | None


def say_json(items: Iterable[Mapping[str, Any]]) -> None:
    """Print each item as a line of JSON."""
    say(*(json.dumps(item, ensure_ascii=False) for item in items))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, with_head: bool = True) -> None:
    """Print rows below the names of their columns: as a table to a terminal, else with tabs between cells."""
    cells = [[printable("" if cell is None else str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        say(*["\t".join(columns)][: int(with_head)], *("\t".join(row) for row in cells))
        return
    table = Table(box=None, show_header=with_head, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    # Written by `say`, which knows what to do if nobody reads.
    drawn = io.StringIO()
    width = shutil.get_terminal_size().columns
    Console(file=drawn, force_terminal=True, width=width, highlight=False).print(table)
    say(*(line.rstrip() for line in drawn.getvalue().splitlines()))


def warn(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")


def printable(text: str) -> str:
    """``text`` with escapes for what would move the cursor, change the terminal or reorder what is shown."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode("ascii")
        for each in text
    )


def moment(ms: int | None) -> str:
    """A time in Unix milliseconds, as UTC to the millisecond; an empty text for none."""
    if not ms:
        return ""
    try:
        text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return str(ms)
    return text.removesuffix("+00:00") + "Z"


@contextmanager
def progress(what: str, total: float | None = None) -> Generator[Callable[[float], None]]:
    """A bar on standard error, if that is a terminal. Yields a function that moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda step: bar.advance(task, step)
