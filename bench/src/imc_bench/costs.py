"""The cost of each operation, computed from a run, to size an installation."""

from collections.abc import Iterator
from dataclasses import dataclass

from imc_bench.results import Run, measured_on
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


CHINESE = {
    "a send over HTTP": "一次 HTTP 发送",
    "a message sent in a batch of 100": "100 条一批发送时的一条消息",
    "the same, in Redis": "同上，在 Redis 里",
    "a delivery, when many pushes go together": "一次投递，许多推送一起发出时",
    "a delivery, when each goes alone": "一次投递，逐条发出时",
    "a stored row, in the projector": "存储一行，在 projector 里",
    "the same, in the database": "同上，在数据库里",
    "a page of 20 messages": "一页 20 条消息",
    "a gateway that is idle": "一个空闲的网关",
    "the keep-alive of 5,000 of them": "其中 5,000 个的保活",
    "of a core of command-api": "command-api 的一个核",
    "of a core of Redis": "Redis 的一个核",
    "of a core of push-node": "push-node 的一个核",
    "of a core of the projector": "projector 的一个核",
    "of a core of MariaDB": "MariaDB 的一个核",
    "of a core of query-api": "query-api 的一个核",
    "of a push-node's memory": "push-node 的内存",
    "of push-node": "push-node 的一个核",
}


def markdown(run: Run) -> str:
    """The costs as a Markdown table, without those that were not measured."""
    head = f"Measured on {_measured_on(run, ' on ')}, by `{run.command}`.\n\n| what | costs |\n|---|---|\n"
    return head + "".join(f"| {cost.what} | {figure} {cost.of} |\n" for cost, figure in _figures(run))


def in_chinese(run: Run) -> str:
    """The same table in Chinese."""
    head = f"{_measured_on(run, '，')}，用 `{run.command}` 测得。\n\n| 内容 | 开销 |\n|---|---|\n"
    return head + "".join(
        f"| {CHINESE[cost.what]} | {figure.removesuffix(' of a core')}（{CHINESE[cost.of]}） |\n"
        for cost, figure in _figures(run)
    )


def _measured_on(run: Run, between: str) -> str:
    rows = {cost.row for cost in COSTS}
    return measured_on([result for result in run.results if result.row in rows], between)


def _figures(run: Run) -> Iterator[tuple[Cost, str]]:
    for cost in COSTS:
        figure = run.figure(cost.row, cost.name)
        if figure is not None:
            yield cost, _cost(figure)


def _cost(figure: Spread) -> str:
    """Convert a rate per second to microseconds per operation. Other figures are costs already."""
    unit, _, per = figure.unit.partition("/")
    if per in ("s", "CPU-s"):
        return f"{digits(_MICROSECONDS / figure.median)} µs"
    return f"{digits(figure.median)} {unit}"
