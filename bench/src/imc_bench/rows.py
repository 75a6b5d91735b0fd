"""Results of rows of the table of goals, curves, and the scale of a run."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of a figure over all rounds."""

    median: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Curve:
    """A figure that depends on ``x``: for each line the figures by ``x``."""

    title: str
    x: str
    """The label of the x axis."""
    y: str
    """The label of the y axis, with the unit."""
    lines: dict[str, dict[float, Spread]]


@dataclass(frozen=True)
class Result:
    """The result of one row. ``row`` is its number, or the name of a curve."""

    row: str
    name: str
    figures: dict[str, Spread]
    goal: str = ""
    ratio: float | None = None
    """The figure of the goal, divided by the figure that it is compared with."""
    met: bool | None = None
    """Whether the goal is met; None if there is no goal, or if a needed peer is missing."""
    checks: list[str] = field(default_factory=list[str])
    """What was verified, for example how many messages were sent without loss."""
    missing: list[str] = field(default_factory=list[str])
    """Peers that are not installed, and could not be installed."""
    curve: Curve | None = None
    shown: int = 4
    """How many of the first figures docs/performance.md shows."""
    date: str = ""
    """The day of the measurement, as YYYY-MM-DD; set when the result is saved."""
    machine: str = ""
    """The machine of the measurement; set when the result is saved."""


@dataclass(frozen=True)
class Scale:
    """How long a run takes: ``short`` some ten minutes, ``full`` half an hour."""

    name: str
    rounds: int
    """How many times each contender is measured."""
    seconds: float
    """How long one measurement lasts, if its length is free."""

    def of(self, short: int, full: int) -> int:
        """Choose a size, such as a number of rows, gateways or messages, by the scale."""
        return full if self.name == "full" else short


SHORT = Scale("short", rounds=5, seconds=0.4)
FULL = Scale("full", rounds=7, seconds=2.0)


class InvalidRun(Exception):
    """A run has no valid result: a message was lost, repeated, reordered or leaked to another app."""
