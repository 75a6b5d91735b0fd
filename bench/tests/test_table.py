"""Tests the tables of results, and the documents that show them."""

from dataclasses import replace
from pathlib import Path

import pytest
from imc_bench import catalogue, comparison, costs, plots, readme, results, table
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
def test_the_verdict_of_a_result(changes: dict[str, object], verdict: str):
    assert table.verdict(result(**changes)) == verdict


def test_rows_with_goals_are_shown_as_markdown():
    figures = {"IMC": FIGURE, "plain": FIGURE}
    measured = [
        result(met=True, ratio=12.345),
        result(met=True, goal="more", figures=figures, shown=1),
        result(row="2", goal="more", missing=["nchan"], figures=figures),
        result(goal=""),
    ]
    assert table.markdown(measured).splitlines()[2:] == [
        "| 1 | sends | many | IMC: 1,230 sends/s | 12.3 | **met** |",
        "|  |  | more | IMC: 1,230 sends/s |  | **met** |",
        "| 2 | sends | more | IMC: 1,230 sends/s<br>plain: 1,230 sends/s |  | missing: nchan |",
    ]


def test_a_missed_goal_links_to_its_decision_record():
    made = table.markdown([result(row="6", met=False)], docs="../docs")
    for path in catalogue.records("6"):
        assert f"[{path.name[:4]}](../docs/decisions/{path.name})" in made
    assert "not met: [0050]" in made
    with pytest.raises(LookupError, match="row 9"):
        table.markdown([result(row="9", met=False)])


def test_decision_records_belong_to_existing_rows():
    assert catalogue.RECORDS.keys() <= catalogue.MODULES.keys()


def test_costs_are_computed_from_rates():
    figures = {
        "projector, CPU of client": Spread(38.72, 1, 99, "µs/row"),
        "projector, CPU of MariaDB": Spread(30.0, 1, 99, "µs/row"),
    }
    made = costs.markdown(
        run_of(
            result(row="1", figures={"IMC": Spread(4_000_000, 1, 9_999_999, "deliveries/CPU-s")}),
            result(row="5", figures=figures),
            result(row="7", figures={"IMC, a core": Spread(2_000, 1, 9_999, "reads/s")}),
            result(row="9", figures={"memory of one": Spread(20.44, 20.44, 20.44, "KB")}),
        )
    )
    for cost in (
        "| 0.25 µs of a core of push-node |",
        "| 38.7 µs of a core of the projector |",
        "| 30 µs of a core of MariaDB |",
        "| 500 µs of a core of query-api |",
        "| 20.4 KB of a push-node's memory |",
    ):
        assert cost in made
    assert made.count("\n| ") == 1 + 5


def test_the_last_full_run_has_all_costs():
    if readme.FULL.exists():
        made = costs.markdown(results.load(readme.FULL))
        assert [cost.what for cost in costs.COSTS if f"| {cost.what} |" not in made] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (9.87, "9.87"), (123.4, "123"), (999.9, "1,000"), (4_321_987, "4,320,000")],
)
def test_figures_have_three_significant_digits(value: float, text: str):
    assert table.number(Spread(value, value, value, "")) == text


def run_of(*measured: Result) -> results.Run:
    dated = [replace(each, date="2026-11-23", machine="a machine") for each in measured]
    return results.Run("make bench-full", "full", dated)


def test_a_saved_run_is_loaded_unchanged(tmp_path: Path):
    curve = Curve("a curve", "x", "y", {"IMC": {1: FIGURE, 1000: FIGURE}})
    run = run_of(result(met=True, checks=["lost 0"]), result(row="gateways", curve=curve))
    results.save(run, tmp_path / "new" / "full.json")
    assert results.load(tmp_path / "new" / "full.json") == run


def test_new_results_replace_older_ones_of_the_same_row():
    run = run_of(result(row="1"), result(row="2")).with_results([result(row="1", name="newer")])
    assert [each.name for each in run.results] == ["newer", "sends"]


def test_a_caption_names_all_days_and_machines():
    days = [
        replace(result(), date=f"2026-11-{day}", machine=machine)
        for day, machine in (("25", "b"), ("23", "a"), ("24", "a"))
    ]
    assert results.measured_on(days) == "2026-11-23 to 2026-11-25 on b / a"
    assert results.measured_on(days[:1]) == "2026-11-25 on b"


def test_a_curve_is_drawn_as_png(tmp_path: Path):
    points = {1.0: FIGURE, 10.0: FIGURE}
    plots.draw(Curve("a curve", "x", "y", {"IMC": points, "nchan": points}), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", sorted(readme.DOCUMENTS.keys() - {"docs/capacity.md"}))
def test_documents_show_date_machine_and_command(name: str):
    curve = Curve("a curve", "x", "y", {"IMC": {1: FIGURE}})
    made = readme.DOCUMENTS[name](run_of(result(met=True), result(row="gateways", goal="", curve=curve)))
    for part in ("2026-11-23", "a machine", "`make bench-full`"):
        assert part in made
    text = f"before\n{readme.BEGIN}old\n{readme.END}\nafter"
    assert readme.with_section(text, made) == f"before\n{readme.BEGIN}{made}{readme.END}\nafter"


def test_a_comparison_shows_the_measured_peers():
    figures = {"IMC": Spread(4_000_000, 1, 9_999_999, "deliveries/CPU-s"), "plain": FIGURE}
    run = run_of(result(row="1", figures=figures), result(row="9", figures={"memory of one": FIGURE}))
    made = comparison.english(run)
    assert "| push in batches to 100 gateways | 4,000,000 deliveries/s |  |  |  |  | 1,230 sends/s |" in made
    assert "| memory of an idle gateway | 1,230 sends/s |  |  |  |  |  |" in made
    assert made.count("\n| ") == 2  # lines that were not measured are left out
    assert "The Java version pushed 39,000 deliveries/s" in made
    assert comparison.chinese(run).count("4,000,000 deliveries/s") == 1


def test_every_comparison_is_in_the_last_full_run():
    if readme.FULL.exists():
        run = results.load(readme.FULL)
        # Runs from before Centrifugo was a peer have nothing of it.
        has_it = any("Centrifugo" in name for each in run.results for name in each.figures)
        for line in (each for each in comparison.LINES if has_it or "Centrifugo" not in each.figures):
            measured = {name for each in run.results if each.row == line.row for name in each.figures}
            assert set(line.figures.values()) <= measured, line.english


def test_performance_pages_show_one_chart_and_the_bench_shows_all():
    curve = Curve("a curve", "x", "y", {"IMC": {1: FIGURE}})
    run = run_of(result(met=True), *(result(row=row, goal="", curve=curve) for row in ("gateways", "rows")))
    for made in (readme.goals(run), readme.goals_in_chinese(run)):
        assert "| 1 | sends |" in made
        assert made.count("![") == 1
        assert "(../bench/results/gateways.png)" in made
    assert "(results/gateways.png)" in readme.curves(run)
    assert "(results/rows.png)" in readme.curves(run)


def test_a_document_without_markers_is_an_error():
    with pytest.raises(ValueError, match="measurements"):
        readme.with_section("no marks", "table")


@pytest.mark.parametrize("name", readme.DOCUMENTS)
def test_documents_show_the_last_full_run(name: str):
    text = (readme.ROOT / name).read_text()
    made = readme.DOCUMENTS[name](results.load(readme.FULL)) if readme.FULL.exists() else ""
    assert readme.with_section(text, made) == text
