"""The comparison of IMC with its peers that the READMEs show, one line per topic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imc_bench.results import Run
from imc_bench.rows import Spread
from imc_bench.table import number

PEERS = ("IMC", "nchan", "node ws", "Socket.IO", "FastAPI")


@dataclass(frozen=True)
class Line:
    """One line: its title in each language, and the names of the figures of row ``row``, by peer."""

    english: str
    chinese: str
    row: str
    figures: Mapping[str, str]


LINES = (
    Line(
        "push in batches to 100 gateways",
        "批量推送给 100 个网关",
        "1",
        {"IMC": "IMC", "nchan": "nchan", "node ws": "node ws", "Socket.IO": "Socket.IO", "FastAPI": "plain"},
    ),
    Line(
        "push one message at a time to 100 gateways",
        "逐条推送给 100 个网关",
        "2",
        {"IMC": "IMC", "nchan": "nchan", "node ws": "node ws"},
    ),
    Line(
        "from a send to the last of 50 gateways, p99 at half load",
        "从发送到第 50 个网关收到，半负载时的 p99",
        "8",
        {"IMC": "IMC at 50%, p99", "nchan": "nchan at 50%, p99"},
    ),
    Line("sends over HTTP", "HTTP 发送", "3", {"IMC": "IMC, a core", "FastAPI": "plain, a core"}),
    Line("the same, p99", "同上，p99", "3", {"IMC": "IMC, p99", "FastAPI": "plain, p99"}),
    Line(
        "pages of 20 messages of history",
        "每页 20 条的历史查询",
        "7",
        {"IMC": "IMC, a core", "FastAPI": "plain, a core"},
    ),
    Line("memory of an idle gateway", "空闲网关占用的内存", "9", {"IMC": "memory of one"}),
)
_HEAD = "| | IMC | nchan | node `ws` | Socket.IO | plain FastAPI |\n|---|---|---|---|---|---|\n"
_CHINESE_HEAD = "| | IMC | nchan | node `ws` | Socket.IO | 普通 FastAPI 应用 |\n|---|---|---|---|---|---|\n"
_CAPTION = (
    "\nRates are per second of CPU time: what one core can do. "
    "Measured on {date} on {machine}, by `{command}`. "
    "[All results](docs/performance.md), with the goals that are not met.\n"
)
_CHINESE_CAPTION = (
    "\n速率按每秒 CPU 时间计，即一个核的能力。{date} 在 {machine} 上用 `{command}` 测得。"
    "[全部结果](docs/performance.zh-CN.md)，包括未达到的目标。\n"
)


def english(run: Run) -> str:
    """The English table with its caption."""
    return _markdown(run, _HEAD, (line.english for line in LINES), _CAPTION)


def chinese(run: Run) -> str:
    """The Chinese table with its caption."""
    return _markdown(run, _CHINESE_HEAD, (line.chinese for line in LINES), _CHINESE_CAPTION)


def _markdown(run: Run, head: str, names: Iterable[str], caption: str) -> str:
    rows = "".join(
        f"| {name} | {' | '.join(_cells(run, line))} |\n" for line, name in zip(LINES, names, strict=True)
    )
    return head + rows + caption.format(date=run.date, machine=run.machine, command=run.command)


def _cells(run: Run, line: Line) -> list[str]:
    """The figure of each peer, or an empty cell for a peer that was not measured."""
    found = (_figure(run, line.row, line.figures.get(peer)) for peer in PEERS)
    return [number(figure).replace("/CPU-s", "/s") if figure else "" for figure in found]


def _figure(run: Run, row: str, name: str | None) -> Spread | None:
    named = (each.figures[name] for each in run.results if each.row == row and name in each.figures)
    return next(named, None)
