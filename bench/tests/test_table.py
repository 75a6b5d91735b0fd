"""The table tells what is met, what is not, and what could not be compared."""

from pathlib import Path

import pytest
from imc_bench import plots, readme, results, table
from imc_bench.rows import Curve, Result, Spread

FIGURE = Spread(1234.5, 1000.0, 2000.0, "sends/s")


def result(**changes: object) -> Result:
    fields: dict[str, object] = {"row": "1", "name": "sends", "figures": {"IMC": FIGURE}, "goal": "many"}
    return Result(**{**fields, **changes})  # type: ignore[arg-type] # pyright: ignore


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"met": True, "ratio": 2.0}, "met"),
        ({"met": False, "ratio": 0.5}, "not met"),
        ({"missing": ["nchan", "node ws"]}, "missing: nchan, node ws"),
        ({}, ""),
    ],
)
def test_a_verdict(changes: dict[str, object], verdict: str):
    assert table.verdict(result(**changes)) == verdict
    assert table.cells(result(**changes))[-1] == verdict


def test_a_row_as_markdown():
    made = table.markdown([result(met=True, ratio=12.345), result(goal="")], ("a", "b", "c", "d", "e", ""))
    assert made == (
        "| a | b | c | d | e |  |\n| --- | --- | --- | --- | --- | --- |\n"
        "| 1 | sends | many | IMC: 1,230 sends/s | 12.3 | met |\n"
    )


def test_a_row_as_text_tells_extremes_checks_and_what_is_missing():
    told = table.text([result(met=False, checks=["lost 0"], missing=["nchan"])])
    for part in ("not met", "1,000 to 2,000", "checked: lost 0", "nchan is not installed", "goal: many"):
        assert part in told


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (9.87, "9.87"), (123.4, "123"), (999.9, "1,000"), (4_321_987, "4,320,000")],
)
def test_figures_have_three_digits(value: float, text: str):
    assert table.number(Spread(value, value, value, "")) == text


def run_of(*measured: Result) -> results.Run:
    return results.Run("2026-11-23", "a machine", "make bench-full", "full", list(measured))


def test_a_run_is_kept_as_it_was(tmp_path: Path):
    curve = Curve("a curve", "x", "y", {"IMC": {1: FIGURE, 1000: FIGURE}})
    run = run_of(result(met=True, checks=["lost 0"]), result(row="gateways", curve=curve))
    results.save(run, tmp_path / "new" / "full.json")
    assert results.load(tmp_path / "new" / "full.json") == run


def test_rows_that_are_measured_again_replace_the_older():
    run = run_of(result(row="1"), result(row="2")).with_results([result(row="2", name="newer")])
    assert [each.name for each in run.results] == ["sends", "newer"]


def test_a_curve_becomes_a_picture(tmp_path: Path):
    points = {1.0: FIGURE, 10.0: FIGURE}
    plots.draw(Curve("a curve", "x", "y", {"IMC": points, "nchan": points}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", readme.HEADS)
def test_the_readme_gets_the_table_with_date_machine_and_command(name: str):
    made = readme.section(name, run_of(result(met=True), result(row="gateways", name="a curve", goal="")))
    for part in ("2026-11-23", "a machine", "`make bench-full`", "| 1 | sends |", readme.PICTURE, "a curve"):
        assert part in made
    text = f"before\n{readme.BEGIN}old\n{readme.END}\nafter"
    assert readme.with_section(text, made) == f"before\n{readme.BEGIN}{made}{readme.END}\nafter"


def test_a_readme_without_a_place_for_it_is_refused():
    with pytest.raises(ValueError, match="measurements"):
        readme.with_section("no marks", "table")


@pytest.mark.parametrize("name", readme.HEADS)
def test_the_readme_shows_the_last_full_run(name: str):
    text = (readme.ROOT / name).read_text()
    made = readme.section(name, results.load(readme.FULL)) if readme.FULL.exists() else ""
    assert readme.with_section(text, made) == text
