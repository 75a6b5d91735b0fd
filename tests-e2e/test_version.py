"""One version: pyproject.toml holds it, and everything else says the same."""

import ast
import re
import runpy
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "deploy/version.py"))
NOTES = runpy.run_path(str(ROOT / "deploy/release_notes.py"))["notes"]
VERSION = SCRIPT["version"]()
MEMBERS = [
    *ROOT.glob("libs/*/pyproject.toml"),
    *ROOT.glob("services/*/pyproject.toml"),
    ROOT / "bench/pyproject.toml",
]


def test_one_version_stands_everywhere():
    made = subprocess.run(
        [sys.executable, "deploy/version.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr


@pytest.mark.parametrize("path", MEMBERS, ids=lambda path: path.parent.name)
def test_a_package_is_installed_in_it(path: Path):
    project = tomllib.loads(path.read_text())["project"]
    assert project["version"] == VERSION
    assert metadata.version(project["name"]) == VERSION


def test_descriptions_of_calls_say_it():
    """A FastAPI application is given the version as a text that is right, or as no text at all."""
    sources = (path for folder in ("libs", "services") for path in ROOT.glob(f"{folder}/*/src/**/*.py"))
    for path in sources:
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            if ast.unparse(call.func).rpartition(".")[2] == "FastAPI":
                written = [each.value for each in call.keywords if each.arg == "version"]
                texts = [each.value for each in written if isinstance(each, ast.Constant)]
                assert set(texts) <= {VERSION}, path


@pytest.mark.parametrize("files", list(SCRIPT["PLACES"]))
def test_another_version_is_noticed_and_replaced(files: str):
    around = SCRIPT["PLACES"][files]
    texts = [path.read_text() for path in ROOT.glob(files)]
    others = [SCRIPT["with_version"](text, around, "9.8.7-rc.1") for text in texts]
    written = "9-8-7-rc-1" if "(-)" in around else "9.8.7-rc.1"
    assert any(written in other for other in others)
    assert [SCRIPT["with_version"](other, around, VERSION) for other in others] == texts


def test_images_are_named_with_it_wherever_they_are_named():
    """What `make version` does not know of would be forgotten at a release."""
    suffixes = {".yml", ".yaml", ".md", ".sh"}
    paths = [path for folder in ("deploy", "docs") for path in (ROOT / folder).rglob("*")]
    for path in (ROOT / "docker-compose.yml", ROOT / "README.md", *paths):
        if path.suffix in suffixes:
            named = re.findall(r"imc-(?:[a-z-]+|\$p):(\d+\.\d+\.\d+)", path.read_text())
            assert set(named) <= {VERSION}, path


CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-12-01

### Added

- One.

## [1.1.0]

- Old.
"""


def test_notes_are_the_section_of_the_release():
    assert NOTES("v1.2.0", "1.2.0", CHANGELOG) == "### Added\n\n- One.\n"
    assert NOTES("v1.1.0", "1.1.0", CHANGELOG) == "- Old.\n"


@pytest.mark.parametrize(
    ("tag", "number", "reason"),
    [
        ("v1.3.0", "1.2.0", "has the version 1.2.0"),
        ("1.2.0", "1.2.0", "has the version 1.2.0"),
        ("v1.3.0", "1.3.0", "no section"),
        ("v1.2", "1.2", "no section"),
    ],
)
def test_no_release_without_its_section(tag: str, number: str, reason: str):
    with pytest.raises(ValueError, match=reason):
        NOTES(tag, number, CHANGELOG)
