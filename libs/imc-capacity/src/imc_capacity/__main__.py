"""``imc capacity``: what an installation needs. ``imc capacity simulate``: how evenly a fleet is loaded."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from imc_service.command_line import Program
from imc_service.standard_streams import say, standard_streams

from imc_capacity import advice, text
from imc_capacity.constants import BadConstants, Constants, load
from imc_capacity.fleet import Fleet, Simulation, simulate
from imc_capacity.plan import CannotGrow, Plan, plan
from imc_capacity.questions import Answers, BadAnswer, add_flags, answered, flags_of, read_file
from imc_capacity.workload import Workload

PLAN = Program(
    name="imc capacity",
    package="imc-capacity",
    purpose="Computes pods, masters of Redis, memory, disk and network from the traffic and measured costs. "
    "Rates are averages of a day. `imc capacity simulate --help` is about how evenly many apps load a fleet.",
    settings=(),
    example="imc capacity --apps 200 --sends 2000 --busiest-sends 600 --gateways 20",
)
SIMULATE = Program(
    name="imc capacity simulate",
    package="imc-capacity",
    purpose="Simulates a fleet app by app: how evenly masters, projectors and push-nodes are loaded, "
    "and what saturates first. Rates are those of a peak.",
    settings=(),
    example="imc capacity simulate --apps 10000 --sends 50000 --masters 8 --projectors 16 --push-nodes 40",
)
_Q = TypeVar("_Q", bound=Answers)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a plan, or a simulation. Exit status 2 says that an answer makes no sense."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    simulates = given[:1] == ["simulate"]
    with standard_streams():
        try:
            said = _simulation(given[1:]) if simulates else _plan(given)
        except (BadAnswer, BadConstants, CannotGrow) as error:
            sys.stderr.write(f"imc capacity: {error}\n")
            sys.exit(2)
        say(said)


def _plan(arguments: Sequence[str]) -> str:
    questions, constants, as_json = _asked(PLAN, Workload, arguments)
    found = plan(constants, questions)
    return _json(plan_as_data(found, questions)) if as_json else text.of_plan(found, questions)


def _simulation(arguments: Sequence[str]) -> str:
    questions, constants, as_json = _asked(SIMULATE, Fleet, arguments)
    found = simulate(constants, questions)
    return _json(simulation_as_data(found, questions)) if as_json else text.of_simulation(found, questions)


def plan_as_data(found: Plan, questions: Workload) -> dict[str, Any]:
    """A plan for ``--json``: the workload, what it needs, limits (the first first) and warnings."""
    return {
        "workload": dataclasses.asdict(questions),
        **dataclasses.asdict(found),
        "limits": [dataclasses.asdict(each) for each in advice.limits(found)],
        "warnings": advice.warnings(found, questions),
    }


def simulation_as_data(found: Simulation, questions: Fleet) -> dict[str, Any]:
    """A simulation for ``--json``: the fleet, the loads of all engines, and what to do."""
    shown = ("mean", "fullest", "unevenness")
    engines = [
        {**dataclasses.asdict(each), **{name: getattr(each, name) for name in shown}}
        for each in found.engines
    ]
    return {
        "fleet": dataclasses.asdict(questions),
        **dataclasses.asdict(found),
        "engines": engines,
        "advice": advice.fleet_advice(found, questions),
    }


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, indent=2)


def _asked(program: Program, questions: type[_Q], arguments: Sequence[str]) -> tuple[_Q, Constants, bool]:
    """The answers to some questions, the constants, and whether JSON is wanted. Raises `BadAnswer`."""
    parser = program.parser()
    parser.add_argument(
        "--file", type=Path, help="a TOML file of answers by the names of the flags; flags win"
    )
    parser.add_argument(
        "--constants", type=Path, help="costs of your own machine, instead of those that come along"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_flags(parser, questions)
    given = parser.parse_args(arguments)
    answers = {**(read_file(given.file) if given.file else {}), **flags_of(questions, given)}
    return answered(questions, answers), load(given.constants), given.json


if __name__ == "__main__":
    main()
