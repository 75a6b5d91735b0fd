"""What docs/capacity.md shows of a run: constants, points, examples, and how evenly fleets are loaded."""

from pathlib import Path
from typing import Any

from imc_capacity import text
from imc_capacity.constants import Constants
from imc_capacity.fleet import Fleet, simulate
from imc_capacity.plan import plan
from imc_capacity.questions import answered
from imc_capacity.workload import Workload

from imc_bench import plots
from imc_bench.capacity import constants, points
from imc_bench.results import Run
from imc_bench.rows import Curve, Spread

PICTURE = Path(__file__).parents[4] / "docs" / "images" / "fleet.png"
EXAMPLES: dict[str, dict[str, Any]] = {
    "Small: an office and its customers": {
        "apps": 3,
        "sends": 20,
        "busiest_sends": 15,
        "gateways": 4,
        "reads": 10,
        "peak_factor": 5,
    },
    "Middle: the games and live rooms of one company": {
        "apps": 200,
        "sends": 2_000,
        "busiest_sends": 600,
        "gateways": 20,
        "busiest_gateways": 400,
        "reads": 300,
        "log_hours": 2,
        "row_days": 180,
    },
    "A million sends a second": {
        "apps": 100_000,
        "sends": 1_000_000,
        "busiest_sends": 7_000,
        "gateways": 4,
        "busiest_gateways": 100,
        "batch": 20,
        "reads": 50_000,
        "peak_factor": 1,
        "log_hours": 0.25,
        "id_hours": 0.25,
        "row_days": 30,
    },
}
"""The workload of each example, without what is as by default."""

FLEET: dict[str, Any] = {
    "apps": 100_000,
    "sends": 1_000_000,
    "skew": 0.7,
    "gateways": 4,
    "batch": 20,
    "command_apis": 60,
    "masters": 64,
    "projectors": 128,
    "push_nodes": 600,
}
"""The fleet of the example of a million sends a second."""

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
_DRAWN = {"redis": "masters", "projector": "projectors", "push-node": "push-nodes"}
_CURVE_FLEET: dict[str, Any] = {"apps": 20_000, "sends": 200_000, "skew": 0.7, "gateways": 4, "batch": 20}


_POINTS = (
    "No constant was made of these measurements. A modelled cost must be between "
    f"{points.LOW:g} and {points.HIGH:g} of the measured one, a size between {points.BYTES_LOW:g} and "
    f"{points.BYTES_HIGH:g}; a test compares them. The room for costs is that wide because the machine "
    "varies: the same figure of one row differs by up to 1.8 between two rounds of a run. There is more room "
    "above than below, since a plan that asks for too much is better than one that asks for too little."
)


def markdown(run: Run) -> str:
    """The generated part of docs/capacity.md, but for the picture, which `draw` makes."""
    costs = _constants(run)
    parts = [
        f"## Constants\n\n{constants.markdown(run)}",
        f"## Checked points\n\n{_POINTS}\n\n{points.markdown(run, costs)}",
        "## Examples\n\n" + "\n".join(_example(name, costs) for name in EXAMPLES),
        f"## A fleet of a million sends a second\n\n{_fleet(costs)}",
    ]
    return "\n".join(parts)


def draw(run: Run) -> None:
    """Draw how uneven the loads are, over the number of engines. Takes some seconds."""
    plots.draw(unevenness(_constants(run)), PICTURE)


def unevenness(costs: Constants) -> Curve:
    """The load of the fullest engine over the mean, by kind and number of engines; the spread is of seeds."""
    lines: dict[str, dict[float, Spread]] = {}
    for count in COUNTS:
        found: dict[str, list[float]] = {}
        for seed in range(1, 6):
            engines = {"masters": count, "projectors": count, "push_nodes": count, "seed": seed}
            for each in simulate(costs, answered(Fleet, {**_CURVE_FLEET, **engines})).engines:
                if each.kind in _DRAWN:
                    found.setdefault(_DRAWN[each.kind], []).append(each.unevenness)
                if each.kind == "redis":
                    found.setdefault("masters, slots moved by load", []).append(
                        each.spread_by_load / each.mean
                    )
        for kind, values in found.items():
            values.sort()
            median = values[len(values) // 2]
            lines.setdefault(kind, {})[float(count)] = Spread(median, values[0], values[-1], "")
    title = "How much fuller the fullest is: 20,000 apps, skew 0.7"
    return Curve(title, "number of masters, projectors, push-nodes", "load of the fullest / mean", lines)


def _constants(run: Run) -> Constants:
    values = constants.made(run)["constants"]
    return Constants(**{name: each["value"] for name, each in values.items()})


def _example(name: str, costs: Constants) -> str:
    answers = EXAMPLES[name]
    load = answered(Workload, answers)
    return f"### {name}\n\n```sh\n{_command('imc capacity', answers)}\n```\n```text\n" + (
        text.of_plan(plan(costs, load), load) + "\n```\n"
    )


def _fleet(costs: Constants) -> str:
    fleet = answered(Fleet, FLEET)
    return f"```sh\n{_command('imc capacity simulate', FLEET)}\n```\n```text\n" + (
        text.of_simulation(simulate(costs, fleet), fleet) + "\n```\n"
    )


def _command(program: str, answers: dict[str, Any]) -> str:
    """A command line, with a break where it would be too long for a page."""
    lines, line = list[str](), program
    for name, value in answers.items():
        word = f"--{name.replace('_', '-')} {value}"
        if len(line) + len(word) > 100:
            lines.append(line)
            line = "   "
        line += f" {word}"
    return " \\\n".join([*lines, line])
