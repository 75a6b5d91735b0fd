"""Measured points that the model of imc-capacity is compared with. None of them set a constant."""

from collections.abc import Iterable
from dataclasses import dataclass

from imc_capacity import model
from imc_capacity.constants import Constants
from imc_capacity.model import App

from imc_bench.capacity.constants import Figures
from imc_bench.capacity.sizes import BETWEEN
from imc_bench.push import curve_apps, latency, load
from imc_bench.push.curves import BATCH_BYTES
from imc_bench.push.fan_out import PUSH_BYTES
from imc_bench.results import Run
from imc_bench.table import digits

LOW, HIGH = 0.6, 2.0
"""What a modelled cost may be of the measured one.

Rows are measured on different days, and the machine varies: the same figure of one row differs by up to 1.8
between two rounds of a run. And a plan that asks for too much is better than one that asks for too little, so
that above 1 there is more room than below.
"""
BYTES_LOW, BYTES_HIGH = 0.9, 1.1
"""The same for sizes, which no other work on the machine changes."""


@dataclass(frozen=True)
class Point:
    """A cost as measured and as modelled, in ``unit``."""

    what: str
    measured: float
    modelled: float
    unit: str

    @property
    def ratio(self) -> float:
        """The modelled cost, as a share of the measured one."""
        return self.modelled / self.measured

    @property
    def is_close(self) -> bool:
        """Whether the model is within its tolerance."""
        low, high = (BYTES_LOW, BYTES_HIGH) if self.unit == "bytes" else (LOW, HIGH)
        return low <= self.ratio <= high


def points(run: Run, constants: Constants) -> list[Point]:
    """All points of a run. Raises `NotMeasured` if one is missing."""
    figures = Figures(run)
    return [
        *_appends(figures, constants),
        *_sends_of_gateways(figures, constants),
        *_fan_out(figures, constants),
        *_bursts(figures, constants),
        _whole_path(figures, constants),
        *_sizes(figures, constants),
    ]


def markdown(run: Run, constants: Constants) -> str:
    """The points as a Markdown table."""
    lines = [
        f"| {each.what} | {digits(each.measured)} {each.unit} | {digits(each.modelled)} {each.unit} "
        f"| {each.ratio:.2f} |\n"
        for each in points(run, constants)
    ]
    return f"| point | measured | modelled | ratio |\n|---|---|---|---|\n{''.join(lines)}"


def _appends(figures: Figures, constants: Constants) -> Iterable[Point]:
    for size in (10, 500):
        modelled = model.redis_us(constants, size, 0) - constants.redis_row_us
        measured = figures.median("servers", f"a message, batches of {size}")
        yield Point(f"Redis a message, in batches of {size}", measured, modelled, "µs")


def _sends_of_gateways(figures: Figures, constants: Constants) -> Iterable[Point]:
    for result in figures.run.results:
        if result.row == "4" and "push-node, CPU" in result.figures:
            measured = result.figures["command-api, CPU"].median
            modelled = model.command_api_load(constants, 1, 100) * 1e6
            yield Point(f"command-api a message, {result.name} (row 4)", measured, modelled, "µs")
            measured = result.figures["Redis, CPU"].median
            modelled = model.redis_us(constants, 100, 1) - constants.redis_row_us
            yield Point(f"Redis a message, {result.name} (row 4)", measured, modelled, "µs")
    lists = [each for each in figures.run.results if each.row == "4" and "push-node, CPU" in each.figures][1:]
    for result in lists:  # the first, with a frame for each message, has set the constant
        measured = result.figures["push-node, CPU"].median
        yield Point(f"push-node a message, {result.name} (row 4)", measured, constants.push_frame_us, "µs")


def _fan_out(figures: Figures, constants: Constants) -> Iterable[Point]:
    together = figures.median("1", "IMC's pushes a write")
    for gateways in (10, 100, 1000):
        modelled = _delivery_us(constants, gateways, together, PUSH_BYTES)
        measured = figures.delivery_us("gateways", gateways)
        yield Point(f"push-node a delivery, {gateways:,} gateways, saturated", measured, modelled, "µs")
    for size in (400, 1_600, 6_400):
        batch = max(1, min(load.BATCH, BATCH_BYTES // size))
        modelled = _delivery_us(constants, 100, batch, size)
        measured = figures.delivery_us("push-size", size)
        yield Point(
            f"push-node a delivery of {size:,} bytes, 100 gateways, saturated", measured, modelled, "µs"
        )
    hot = 1e6 / figures.median("10", "alone")
    modelled = _delivery_us(constants, 100, together, PUSH_BYTES)
    yield Point("push-node a delivery, a hot app (row 10)", hot, modelled, "µs")


def _bursts(figures: Figures, constants: Constants) -> Iterable[Point]:
    for apps in (1, 10, 100):
        gateways = curve_apps.GATEWAYS // apps
        modelled = _delivery_us(constants, gateways, curve_apps.BURST, PUSH_BYTES)
        measured = figures.at("apps", "IMC", apps)
        name = f"push-node a delivery, bursts of {curve_apps.BURST} to {gateways:,} gateways"
        yield Point(name, measured, modelled, "µs")


def _delivery_us(constants: Constants, gateways: int, together: float, push_bytes: float) -> float:
    """Microseconds a delivery, with ``together`` messages a wake-up."""
    content = push_bytes - constants.push_bytes
    cores = model.push_load(constants, App(1.0, gateways), together, 1, content, 0)
    return cores / gateways * 1e6


def _whole_path(figures: Figures, constants: Constants) -> Point:
    """Row 8: command-api, Redis and a push-node share one core, filled by `latency.SENDERS` callers."""
    rate = figures.median("8", "saturation")
    app = App(rate, latency.GATEWAYS)
    # Each caller has one send under way: half of them in the batch on its way, half in the next.
    batch = latency.SENDERS / 2
    modelled = (
        model.command_api_load(constants, rate, 1)
        + rate * (model.redis_us(constants, batch, 1) - constants.redis_row_us) / 1e6
        + model.push_load(constants, app, batch, 1, PUSH_BYTES - constants.push_bytes, 0)
    )
    return Point(
        f"all on one core, {digits(rate)} sends a second to {latency.GATEWAYS} gateways (row 8)",
        1.0,
        modelled,
        "of a core",
    )


def _sizes(figures: Figures, constants: Constants) -> Iterable[Point]:
    redis = model.log_bytes(constants, 1, BETWEEN, 0) - constants.log_app_bytes
    yield Point(
        f"Redis, a message of {BETWEEN} bytes",
        figures.median("sizes", f"Redis: a message of {BETWEEN}"),
        redis,
        "bytes",
    )
    yield Point(
        f"database, a message of {BETWEEN} bytes",
        figures.median("sizes", f"database: a message of {BETWEEN}"),
        model.row_bytes(constants, 1, BETWEEN, 0),
        "bytes",
    )
