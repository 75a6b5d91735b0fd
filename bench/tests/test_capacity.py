"""The model of imc-capacity against measured points, and the constants that come with it."""

from dataclasses import replace

import pytest
from imc_bench import readme, results
from imc_bench.capacity import constants, document, points
from imc_bench.results import Run
from imc_bench.rows import Result, Spread
from imc_capacity import constants as capacity


@pytest.fixture(scope="module")
def run() -> Run:
    return results.load(readme.FULL)


def test_the_constants_are_those_of_the_last_full_run(run: Run):
    assert constants.FILE.read_text() == constants.text(run)


def test_the_model_is_close_to_what_was_measured_otherwise(run: Run):
    compared = points.points(run, capacity.load())
    assert len(compared) == 20
    assert {each.what: round(each.ratio, 2) for each in compared if not each.is_close} == {}


def test_a_model_that_is_far_off_is_noticed(run: Run):
    """Points are sensitive to each cost that they are about."""
    costs = capacity.load()
    for name in ("redis_message_us", "push_write_us", "push_byte_us", "push_wake_us", "send_message_us"):
        wrong = replace(costs, **{name: 4 * getattr(costs, name)})
        assert not all(each.is_close for each in points.points(run, wrong)), name


def test_no_point_is_of_a_figure_that_set_a_constant(run: Run):
    """Another value of a point changes no constant."""
    before = constants.made(run)["constants"]
    doubled = [_with_points_doubled(each) for each in run.results]
    assert constants.made(replace(run, results=doubled))["constants"] == before
    assert points.points(replace(run, results=doubled), capacity.load()) != points.points(
        run, capacity.load()
    )


COMPARED = {
    "gateways": (10, 100, 1000),
    "push-size": (400, 1600, 6400),
    "apps": (1, 10, 100),
}
"""The points of curves that are compared."""

FIGURES = {
    "servers": ("a message, batches of 10", "a message, batches of 500"),
    "8": ("saturation",),
    "10": ("alone",),
    "sizes": ("Redis: a message of 400", "database: a message of 400"),
}
"""The figures that are compared, by row; those of row 4 by gateways too."""


def _with_points_doubled(result: Result) -> Result:
    names = FIGURES.get(result.row, ())
    if result.row == "4" and "push-node, CPU" in result.figures:
        names = ("command-api, CPU", "Redis, CPU")
    figures = {name: _doubled(each) if name in names else each for name, each in result.figures.items()}
    curve = result.curve
    if curve is not None and result.row in COMPARED:
        points_of = curve.lines["IMC"]
        line = {x: _doubled(y) if x in COMPARED[result.row] else y for x, y in points_of.items()}
        curve = replace(curve, lines={**curve.lines, "IMC": line})
    return replace(result, figures=figures, curve=curve)


def _doubled(figure: Spread) -> Spread:
    return replace(figure, median=2 * figure.median)


def test_a_run_without_a_row_says_what_to_measure(run: Run):
    without = replace(run, results=[each for each in run.results if each.row != "5"])
    with pytest.raises(constants.NotMeasured, match="row 5 has no figure 'projector'"):
        constants.made(without)


def test_every_constant_is_made(run: Run):
    assert constants.SOURCES.keys() == capacity.units().keys()
    assert {row for source in constants.SOURCES.values() for row in source.rows} <= {
        each.row for each in run.results
    }


def test_the_document_has_constants_points_and_examples(run: Run):
    made = document.markdown(run)
    for part in ("## Constants", "## Checked points", "## Examples", "--apps 100000 --sends 1000000"):
        assert part in made
    assert made.count("```sh") == len(document.EXAMPLES) + 1
    assert document.PICTURE.exists()
