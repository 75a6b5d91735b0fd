"""The cost of each operation, computed from a run, to size an installation."""

from collections.abc import Iterator
from dataclasses import dataclass

from imc_bench.results import Run
from imc_bench.rows import Spread
from imc_bench.table import digits


@dataclass(frozen=True)
class Cost:
    """One line of the table: the figure ``name`` of the first result of row ``row`` that has it."""

    what: str
    row: str
    name: str
    of: str
    """The resource that is used, shown after the figure."""


_MICROSECONDS = 1_000_000
COSTS = (
    Cost("a send over HTTP", "3", "IMC, a core", "of a core of command-api"),
    Cost("a message sent in a batch of 100", "4", "command-api, CPU", "of a core of command-api"),
    Cost("the same, in Redis", "4", "Redis, CPU", "of a core of Redis"),
    Cost("a delivery, when many pushes go together", "1", "IMC", "of a core of push-node"),
    Cost("a delivery, when each goes alone", "2", "IMC", "of a core of push-node"),
    Cost("a stored row, in the projector", "5", "projector, CPU of client", "of a core of the projector"),
    Cost("the same, in the database", "5", "projector, CPU of MariaDB", "of a core of MariaDB"),
    Cost("a page of 20 messages", "7", "IMC, a core", "of a core of query-api"),
    Cost("a gateway that is idle", "9", "memory of one", "of a push-node's memory"),
    Cost("the keep-alive of 5,000 of them", "9", "CPU of their keep-alive", "of push-node"),
)


def markdown(run: Run) -> str:
    """The costs as a Markdown table, without those that were not measured."""
    lines = [f"| {what} | {cost} |\n" for what, cost in _lines(run)]
    head = f"Measured on {run.date} on {run.machine}, by `{run.command}`.\n\n| what | costs |\n|---|---|\n"
    return head + "".join(lines)


def _lines(run: Run) -> Iterator[tuple[str, str]]:
    for cost in COSTS:
        figures = [
            result.figures[cost.name]
            for result in run.results
            if result.row == cost.row and cost.name in result.figures
        ]
        if figures:
            yield cost.what, f"{_cost(figures[0])} {cost.of}"


def _cost(figure: Spread) -> str:
    """Convert a rate per second to microseconds per operation. Other figures are costs already."""
    unit, _, per = figure.unit.partition("/")
    if per in ("s", "CPU-s"):
        return f"{digits(_MICROSECONDS / figure.median)} µs"
    return f"{digits(figure.median)} {unit}"
