"""The constants of imc-capacity, made of measured rows, and the points that its model is compared with.

No row that is a point was used for a constant: of a curve, its ends set constants, and what lies between is
compared.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imc_capacity
from imc_capacity import constants as capacity

from imc_bench.capacity.servers import LISTENERS
from imc_bench.push.fan_out import GATEWAYS, PUSH_BYTES
from imc_bench.results import Run, measured_on
from imc_bench.table import digits

FILE = Path(imc_capacity.__file__).with_name("constants.json")
_MICROSECONDS = 1e6
_BURST = 10
"""Messages that the curve over apps sends to an app at once."""


class NotMeasured(Exception):
    """A row that a constant is made of is not in the run."""


@dataclass(frozen=True)
class Figures:
    """The figures of a run."""

    run: Run

    def median(self, row: str, name: str) -> float:
        """A figure of a row. Raises `NotMeasured`."""
        figure = self.run.figure(row, name)
        if figure is None:
            raise NotMeasured(f"row {row} has no figure {name!r}: measure it by `make bench-full`")
        return figure.median

    def at(self, row: str, line: str, x: float) -> float:
        """A point of a curve. Raises `NotMeasured`."""
        for result in self.run.results:
            if result.row == row and result.curve is not None and x in result.curve.lines.get(line, {}):
                return result.curve.lines[line][x].median
        raise NotMeasured(f"curve {row} has no point {x:g} of {line}: measure it by `make bench-full`")

    def delivery_us(self, row: str, x: float) -> float:
        """Microseconds of CPU a delivery, at a point of a curve of deliveries per CPU-second."""
        return _MICROSECONDS / self.at(row, "IMC", x)


@dataclass(frozen=True)
class Source:
    """How a constant is made: the rows that it comes from, in words, and the function of figures."""

    words: str
    value: Callable[[Figures], float]
    rows: tuple[str, ...]


def _line(first: float, last: float, batch: float) -> tuple[float, float]:
    """What is paid once and for each message, from the cost of a message alone and in batches."""
    each = (batch * last - first) / (batch - 1)
    return first - each, each


def _send(figures: Figures) -> tuple[float, float]:
    alone = _MICROSECONDS / figures.median("3", "IMC, a core")
    return _line(alone, figures.median("4", "command-api, CPU"), 100)


def _append(figures: Figures) -> tuple[float, float]:
    """Microseconds of a run of the script, and of a message in it.

    The first is what a batch of one costs more than a batch of a hundred; the second is what a running
    installation takes, polls and connections included.
    """
    batch, _ = _line(
        figures.median("servers", "a message, batches of 1"),
        figures.median("servers", "a message, batches of 100"),
        100,
    )
    return batch, figures.median("4", "Redis, CPU") - batch / 100


def _heard(figures: Figures) -> tuple[float, float]:
    heard = [
        figures.median("servers", f"the same to {LISTENERS} connections, batches of {size}")
        - figures.median("servers", f"a message, batches of {size}")
        for size in (1, 100)
    ]
    return _line(heard[0] / LISTENERS, heard[1] / LISTENERS, 100)


def _push(figures: Figures) -> tuple[float, float, float, float]:
    """Microseconds of a wake-up, a message, a write and a byte, from four points.

    With one gateway, a message costs wake-up and write, shared by what goes together, and the making of its
    frame. ``together`` is that number: in bursts, and at saturation.
    """
    byte = (figures.delivery_us("push-size", 16_000) - figures.delivery_us("push-size", 100)) / 15_900
    copied = byte * PUSH_BYTES
    together = figures.median("1", "IMC's pushes a write")
    in_bursts, saturated = (
        figures.at("apps", "IMC", 1000) - copied,
        figures.delivery_us("gateways", 1) - copied,
    )
    wake_and_write = (in_bursts - saturated) / (1 / _BURST - 1 / together)
    message = saturated - wake_and_write / together
    alone = _MICROSECONDS / figures.median("2", "IMC") - copied
    write = (alone - (wake_and_write + message) / GATEWAYS) / (1 - 1 / GATEWAYS)
    return wake_and_write - write, message, write, byte


def _keep_alive(figures: Figures) -> float:
    percent = figures.median("9", "CPU of their keep-alive") - figures.median("9", "CPU without any")
    return percent / 100 / 5_000 * _MICROSECONDS


def _size(name: str, words: str) -> Source:
    return Source(words, lambda figures: figures.median("sizes", name), ("sizes",))


_PUSH = "curves push-size at 100 and 16,000, gateways at 1, apps at 1,000; row 2"
_PUSH_ROWS = ("push-size", "gateways", "apps", "1", "2")
_HEARD = f"row servers: batches of 1 and 100, heard by {LISTENERS} and by nobody"

SOURCES: Mapping[str, Source] = {
    "send_request_us": Source(
        "rows 3 and 4: one message a request, and 100", lambda f: _send(f)[0], ("3", "4")
    ),
    "send_message_us": Source(
        "rows 3 and 4: one message a request, and 100", lambda f: _send(f)[1], ("3", "4")
    ),
    "append_wait_us": Source(
        "row servers: a send alone",
        lambda f: f.median("servers", "a send alone, until its reply"),
        ("servers",),
    ),
    "redis_batch_us": Source("row servers: batches of 1 and 100", lambda f: _append(f)[0], ("servers",)),
    "redis_message_us": Source("row 4: batches of 100 over HTTP", lambda f: _append(f)[1], ("servers", "4")),
    "redis_heard_batch_us": Source(_HEARD, lambda f: _heard(f)[0], ("servers",)),
    "redis_heard_message_us": Source(_HEARD, lambda f: _heard(f)[1], ("servers",)),
    "redis_row_us": Source(
        "row servers: a row projected", lambda f: f.median("servers", "a row projected, Redis"), ("servers",)
    ),
    "push_wake_us": Source(_PUSH, lambda f: _push(f)[0], _PUSH_ROWS),
    "push_message_us": Source(_PUSH, lambda f: _push(f)[1], _PUSH_ROWS),
    "push_write_us": Source(_PUSH, lambda f: _push(f)[2], _PUSH_ROWS),
    "push_byte_us": Source("curve push-size: at 100 and 16,000 bytes", lambda f: _push(f)[3], ("push-size",)),
    "push_frame_us": Source(
        "row 4: gateways that send a frame each", lambda f: f.median("4", "push-node, CPU"), ("4",)
    ),
    "keep_alive_us": Source("row 9: 5,000 gateways, and none", _keep_alive, ("9",)),
    "projector_row_us": Source(
        "row 5: rows a second", lambda f: _MICROSECONDS / f.median("5", "projector"), ("5",)
    ),
    "database_row_us": Source(
        "row 5: CPU of MariaDB", lambda f: f.median("5", "projector, CPU of MariaDB"), ("5",)
    ),
    "database_page_us": Source(
        "row servers: a page", lambda f: f.median("servers", "a page of history, database"), ("servers",)
    ),
    "query_page_us": Source(
        "row 7: pages a second", lambda f: _MICROSECONDS / f.median("7", "IMC, a core"), ("7",)
    ),
    "log_message_bytes": _size("Redis: a message, beside its content", "row sizes: content of 100 and 1,600"),
    "log_content_bytes": _size("Redis: a byte of content", "row sizes: content of 100 and 1,600"),
    "log_client_id_bytes": _size("Redis: a clientMessageId", "row sizes: with one, and without"),
    "log_app_bytes": _size("Redis: an app", "row sizes: many apps with a message each"),
    "row_message_bytes": _size(
        "database: a message, beside its content", "row sizes: content of 100 and 1,600"
    ),
    "row_content_bytes": _size("database: a byte of content", "row sizes: content of 100 and 1,600"),
    "row_group_bytes": _size("database: a group", "row sizes: the table of groups"),
    "request_bytes": _size("a request, beside its content", "row sizes: the request of the bench"),
    "push_bytes": _size("a push, beside its content", "row sizes: a frame of v1"),
    "command_api_bytes": _size("memory of imc-command-api", "row sizes: PSS after some work"),
    "push_node_bytes": _size("memory of imc-push-node", "row sizes: PSS after some work"),
    "gateway_bytes": Source("row 9: 5,000 gateways", lambda f: f.median("9", "memory of one") * 1024, ("9",)),
    "query_api_bytes": _size("memory of imc-query-api", "row sizes: PSS after a start"),
    "projector_bytes": _size("memory of imc-projector", "row sizes: PSS after some work"),
}


def made(run: Run) -> dict[str, Any]:
    """The file of constants of a run. Raises `NotMeasured`.

    A difference of two measurements can be below 0 by noise: then the cost is too small to be seen, and is 0.
    """
    figures = Figures(run)
    rows = {row for source in SOURCES.values() for row in source.rows}
    units = capacity.units()
    return {
        "measured": measured_on([each for each in run.results if each.row in rows]),
        "command": run.command,
        "constants": {
            name: {
                "value": float(f"{max(0.0, source.value(figures)):.4g}"),
                "unit": units[name],
                "source": source.words,
            }
            for name, source in SOURCES.items()
        },
    }


def text(run: Run) -> str:
    """The file of constants of a run, as it is written. Raises `NotMeasured`."""
    return json.dumps(made(run), indent=2, ensure_ascii=False) + "\n"


def markdown(run: Run) -> str:
    """The constants as a Markdown table."""
    content, meanings = made(run), capacity.meanings()
    lines = [
        f"| `{name}` | {meanings[name]} | {_shown(each['value'], each['unit'])} | {each['source']} |\n"
        for name, each in content["constants"].items()
    ]
    head = f"Measured on {content['measured']}, by `{content['command']}`.\n\n"
    return f"{head}| constant | what it is the cost of | value | from |\n|---|---|---|---|\n{''.join(lines)}"


def _shown(value: float, unit: str) -> str:
    if unit == "bytes" and value >= 1e6:
        return f"{digits(value / 1e6)} MB"
    return f"{digits(value)} {unit}"
