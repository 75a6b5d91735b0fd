"""What a row of the table of goals says, and how long its measuring may take."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds it was measured in."""

    median: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Curve:
    """How a figure grows with the work: for each line its points, ``x`` to the figure there."""

    title: str
    x: str
    """What grows, with its unit."""
    y: str
    """What is measured, with its unit."""
    lines: dict[str, dict[float, Spread]]


@dataclass(frozen=True)
class Result:
    """One row, measured. ``row`` is its number, or the name of a curve."""

    row: str
    name: str
    figures: dict[str, Spread]
    goal: str = ""
    ratio: float | None = None
    """The figure that the goal is about, divided by what it is compared with."""
    met: bool | None = None
    """Whether the goal is met; None where there is none, or where what it needs is missing."""
    checks: list[str] = field(default_factory=list[str])
    """What was verified while measuring: that nothing was lost, say, and of how many."""
    missing: list[str] = field(default_factory=list[str])
    """Peers that are not installed and could not be."""
    curve: Curve | None = None
    shown: int = 4
    """How many of the figures, the first of them, the goal is about: docs/performance.md shows these."""


@dataclass(frozen=True)
class Scale:
    """How long a run may take: ``short`` a few minutes in all, ``full`` half an hour."""

    name: str
    rounds: int
    """How often each contender is measured."""
    seconds: float
    """How long one of these measurements lasts, where its length is free."""

    def of(self, short: int, full: int) -> int:
        """The size of something in this run: so many rows, gateways, messages."""
        return full if self.name == "full" else short


SHORT = Scale("short", rounds=5, seconds=0.4)
FULL = Scale("full", rounds=7, seconds=2.0)


class Faulty(Exception):
    """A run lost, repeated, swapped or leaked something: it is no result. The message says what."""
