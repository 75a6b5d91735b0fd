"""The comparison of IMC with its peers that the READMEs show, one line per topic."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imc_bench.push.fixed_rate import RATES
from imc_bench.results import Run, measured_on
from imc_bench.table import number

PEERS = ("IMC", "Centrifugo", "nchan", "node ws", "Socket.IO", "FastAPI")

JAVA = 39_000
"""Deliveries per CPU-second of the Java version in the load of row 1. It is no peer of the runs."""

RECORD = "docs/decisions/0127-centrifugo-as-a-peer.md"


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
        {
            "IMC": "IMC",
            "Centrifugo": "Centrifugo",
            "nchan": "nchan",
            "node ws": "node ws",
            "Socket.IO": "Socket.IO",
            "FastAPI": "plain",
        },
    ),
    Line(
        "push one message at a time to 100 gateways",
        "逐条推送给 100 个网关",
        "2",
        {"IMC": "IMC", "Centrifugo": "Centrifugo", "nchan": "nchan", "node ws": "node ws"},
    ),
    *(
        Line(
            f"CPU of all servers per delivery to 100 gateways, {rate} single sends a second",
            f"每秒 {rate} 次单条发送，推送给 100 个网关，每次送达所有服务器的 CPU",
            "2b",
            {"IMC": f"IMC at {rate}/s, CPU", "Centrifugo": f"Centrifugo at {rate}/s, CPU"},
        )
        for rate in RATES
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
        "CPU of all servers per send over HTTP",
        "每次 HTTP 发送所有服务器的 CPU",
        "3",
        {"IMC": "IMC, CPU", "Centrifugo": "Centrifugo, CPU"},
    ),
    Line(
        "pages of 20 messages of history",
        "每页 20 条的历史查询",
        "7",
        {"IMC": "IMC, a core", "FastAPI": "plain, a core"},
    ),
    Line("memory of an idle gateway", "空闲网关占用的内存", "9", {"IMC": "memory of one"}),
)
_HEAD = (
    "| | IMC | Centrifugo | nchan | node `ws` | Socket.IO | plain FastAPI |\n|---|---|---|---|---|---|---|\n"
)
_CHINESE_HEAD = _HEAD.replace("plain FastAPI", "普通 FastAPI 应用")
_CAPTION = (
    "\nRates are per second of CPU time: what one core can do. "
    "Measured on {measured_on}, by `{command}`. "
    "[All results](docs/performance.md), with the goals that are not met. "
    f"The Java version pushed {JAVA:,} deliveries/s in batches, measured by itself on 2026-11-28: "
    f"[decision 127]({RECORD}).\n"
)
_CHINESE_CAPTION = (
    "\n速率按每秒 CPU 时间计，即一个核的能力。{measured_on}，用 `{command}` 测得。"
    "[全部结果](docs/performance.zh-CN.md)，包括未达到的目标。"
    f"Java 版批量推送为每秒 {JAVA:,} 次，2026-11-28 单独测得：[决策 127]({RECORD})。\n"
)


def english(run: Run) -> str:
    """The English table with its caption."""
    return _markdown(run, _HEAD, (line.english for line in LINES), _CAPTION, " on ")


def chinese(run: Run) -> str:
    """The Chinese table with its caption."""
    return _markdown(run, _CHINESE_HEAD, (line.chinese for line in LINES), _CHINESE_CAPTION, "，")


def _markdown(run: Run, head: str, names: Iterable[str], caption: str, between: str) -> str:
    """The table, without lines that have not been measured."""
    cells = [_cells(run, line) for line in LINES]
    rows = "".join(
        f"| {name} | {' | '.join(own)} |\n" for name, own in zip(names, cells, strict=True) if any(own)
    )
    shown = [result for result in run.results if result.row in {line.row for line in LINES}]
    return head + rows + caption.format(measured_on=measured_on(shown, between), command=run.command)


def _cells(run: Run, line: Line) -> list[str]:
    """The figure of each peer, or an empty cell for a peer that was not measured."""
    named = (line.figures.get(peer) for peer in PEERS)
    found = [run.figure(line.row, name) if name else None for name in named]
    return [number(figure).replace("/CPU-s", "/s") if figure else "" for figure in found]
