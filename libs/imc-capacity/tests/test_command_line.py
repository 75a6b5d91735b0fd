"""The program: answers from flags and files, JSON, and errors that help."""

import json
from pathlib import Path
from typing import Any

import pytest
from imc_capacity.__main__ import main
from imc_capacity.constants import BadConstants, load, meanings, shipped, units


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(arguments)
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_flags_win_over_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    file = tmp_path / "plan.toml"
    file.write_text("apps = 20\nsends = 700.5\n")
    found = json.loads(said(capsys, "--file", str(file), "--apps", "30", "--json"))
    assert (found["workload"]["apps"], found["workload"]["sends"]) == (30, 700.5)
    assert found["workload"]["busy"] == 0.7
    assert {
        "command_api",
        "push_node",
        "query_api",
        "projector",
        "redis",
        "database",
        "network",
    } <= found.keys()
    assert {"limits", "warnings", "busiest_app"} <= found.keys()


def test_a_plan_and_a_simulation_are_shown_as_tables(capsys: pytest.CaptureFixture[str]):
    assert "What saturates first" in said(capsys)
    assert "What saturates first" in said(capsys, "simulate", "--apps", "50")
    found = json.loads(said(capsys, "simulate", "--apps", "50", "--masters", "2", "--json"))
    assert len(next(each for each in found["engines"] if each["kind"] == "redis")["loads"]) == 2


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--apps", "0"], ["apps is 0", "a whole number from 1 to 1,000,000"]),
        (["--apps", "1.5"], ["apps is 1.5", "a whole number"]),
        (["--apps", "many"], ["apps is 'many'"]),
        (["--sends", "nan"], ["sends is nan", "from 0 to 10,000,000 a second"]),
        (["--sends", "inf"], ["sends is inf"]),
        (["--sends=-1"], ["sends is -1"]),
        (["--busy", "1"], ["busy is 1", "0.05 to 0.95"]),
        (["--peak-factor", "0.5"], ["peak_factor is 0.5"]),
        (["--sends", "10", "--busiest-sends", "11"], ["busiest_sends is 11", "more than sends of all apps"]),
        (["--apps", "2", "--sends", "10", "--busiest-sends", "1"], ["less than an even share", "5"]),
        (["--gateways", "10", "--busiest-gateways", "5"], ["busiest_gateways is 5", "raise it"]),
        (["--apps", "10", "--groups", "5"], ["groups is 5", "has at least one"]),
        (["--file", "none.toml"], ["none.toml can't be read"]),
        (["--constants", "none.json"], ["none.json can't be read"]),
        (["--speed", "3"], ["unrecognized arguments: --speed"]),
        (["simulate", "--masters", "257"], ["masters is 257", "1 to 256"]),
        (["simulate", "--gateways", "6000"], ["gateways is 6,000", "6,000,000", "at most 5,000,000"]),
        (["simulate", "--busiest-sends", "1"], ["unrecognized arguments"]),
    ],
)
def test_nonsense_is_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
):
    error = refused(capsys, *arguments)
    assert [part for part in parts if part not in error] == []
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("toml", "part"),
    [
        ("app = 3", "app: there is no such question"),
        ("apps = true", "apps is True"),
        ('sends = "fast"', "sends is 'fast'"),
        ("apps = [1]", "apps is [1]"),
        ("apps = ", "is not TOML"),
    ],
)
def test_a_file_of_nonsense_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, toml: str, part: str
):
    file = tmp_path / "plan.toml"
    file.write_text(toml)
    assert part in refused(capsys, "--file", str(file))


def test_every_constant_has_a_meaning_a_unit_and_a_source():
    content = shipped()
    assert meanings().keys() == units().keys() == content["constants"].keys()
    for name, each in content["constants"].items():
        assert each["source"], name
        assert each["unit"] == units()[name]
    assert content["measured"]


def changed(tmp_path: Path, **changes: Any) -> Path:
    content = shipped()
    for name, value in changes.items():
        content["constants"][name] = {"value": value}
    path = tmp_path / "constants.json"
    path.write_text(json.dumps(content))
    return path


def test_costs_of_another_machine_are_used(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = changed(tmp_path, projector_row_us=1_000_000)
    found = json.loads(said(capsys, "--constants", str(path), "--json"))
    assert found["projector"]["busy_cores"] == pytest.approx(1_500)


@pytest.mark.parametrize("value", [-1, "1", None, True, float("nan"), 1e13])
def test_a_cost_that_is_no_number_is_refused(tmp_path: Path, value: Any):
    with pytest.raises(BadConstants, match="projector_row_us"):
        load(changed(tmp_path, projector_row_us=value))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"constants": 1}', '{"constants": {"a": 1}}'])
def test_a_file_without_constants_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "constants.json"
    path.write_text(text)
    with pytest.raises(BadConstants, match="constants"):
        load(path)


def test_an_unknown_constant_is_refused(tmp_path: Path):
    with pytest.raises(BadConstants, match="speed"):
        load(changed(tmp_path, speed=1))
