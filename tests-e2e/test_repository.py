"""What the repository tells machines: workflows, forms, editors, hooks."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from project_files import ROOT, project_files

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})|\./[\w./-]+")


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of all jobs, and jobs that are another workflow's."""
    for job in workflow["jobs"].values():
        yield from job.get("steps", [job])


def faults(workflow: dict[str, Any]) -> list[str]:
    """What a workflow does outside of the Makefile, or by a program that may be another one tomorrow."""
    found = [] if workflow.get("permissions") == {"contents": "read"} else ["may write"]
    for step in steps(workflow):
        for line in step.get("run", "").splitlines():
            if not (match := re.fullmatch(r"make ([a-z-]+)", line)) or match[1] not in TARGETS:
                found.append(line)
        if "uses" in step and not PINNED.fullmatch(step["uses"]):
            found.append(step["uses"])
    return found


def test_nothing_is_left_of_a_merge():
    assert project_files(".orig", ".rej") == []


@pytest.mark.parametrize("path", project_files(".yml", ".yaml"), ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_can_be_read(path: Path):
    assert [each for each in yaml.safe_load_all(path.read_text()) if each is not None] != []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_targets_of_the_makefile_and_pinned_actions(path: Path):
    assert faults(yaml.safe_load(path.read_text())) == []
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ({"run": "pip install x"}, "pip install x"),
        ({"run": "make none"}, "make none"),
        ({"run": "make check && rm x"}, "make check && rm x"),
        ({"uses": "actions/checkout@v5"}, "actions/checkout@v5"),
        ({"uses": "actions/checkout@main"}, "actions/checkout@main"),
    ],
)
def test_a_fault_of_a_workflow_is_caught(step: dict[str, str], fault: str):
    good = {"permissions": {"contents": "read"}, "jobs": {"a": {"steps": [{"run": "make check"}]}}}
    assert faults(good) == []
    assert faults({**good, "permissions": None}) == ["may write"]
    assert faults({**good, "jobs": {"a": {"steps": [step]}}}) == [fault]


def test_workflows_cover_what_is_supported_and_what_ships():
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    tested = jobs["test"]["strategy"]["matrix"]["python"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert oldest == f">={tested[0]}"
    [ships] = re.findall(
        r"^ARG PYTHON_VERSION=(\S+)", (ROOT / "deploy/docker/Dockerfile").read_text(), re.MULTILINE
    )
    assert tested[-1] == ships
    assert tested == [f"3.{minor}" for minor in range(int(tested[0][2:]), int(ships[2:]) + 1)]
    assert jobs["check"]["container"] == f"python:{ships}-bookworm"
    assert {
        line for job in jobs.values() for step in job["steps"] for line in step.get("run", "").splitlines()
    } == {
        "make check",
        "make test",
        "make images",
    }


def test_documents_name_targets_that_are_there():
    for path in project_files(".md"):
        code = re.findall(r"`([^`\n]+)`|^(make [^\n]*)$", path.read_text(), re.MULTILINE)
        named = {
            name for each in code for name in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", each[0] or each[1])
        }
        assert named <= TARGETS, path


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.name
)
def test_a_form_can_be_filled_in(path: Path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= form.keys()
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert any(field.get("validations", {}).get("required") for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["type"] in ("textarea", "input", "dropdown", "checkboxes") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_dependabot_looks_where_there_is_something():
    there = {"github-actions": ".github/workflows", "docker": "Dockerfile", "npm": "package.json"}
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    for update in updates:
        folder = ROOT / update["directory"].lstrip("/")
        assert (folder / there[update["package-ecosystem"]]).exists()


def test_hooks_use_the_tools_of_make_check():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    makefile = (ROOT / "Makefile").read_text()
    for repository in config["repos"]:
        assert repository["repo"] == "local", "one ruff: that of the lock"
        for hook in repository["hooks"]:
            program, verb, *_ = hook["entry"].split()
            assert (ROOT / program).exists()
            assert f"$(BIN)/{Path(program).name} {verb}" in makefile


def test_editors_and_formatter_agree():
    lines = (ROOT / ".editorconfig").read_text()
    [python] = re.findall(r"^\[\*\.py\]\n((?:\w.*\n)+)", lines, re.MULTILINE)
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    assert f"max_line_length = {ruff['line-length']}" in python
