"""How `make setup` makes the environment, and what it says where it can't."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUPPORTED = [
    line
    for line in (ROOT / "requirements/python-versions").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
SHIPS = SUPPORTED[0]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
NOWHERE = "http://127.0.0.1:9/simple"
MEMBERS = [
    ROOT / "bench/pyproject.toml",
    *ROOT.glob("libs/*/pyproject.toml"),
    *ROOT.glob("services/*/pyproject.toml"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that needs one small package and has none of its own."""
    folder = tmp_path / "project"
    (folder / "requirements").mkdir(parents=True)
    for name in ("Makefile", *(f"requirements/{path.name}" for path in (ROOT / "requirements").iterdir())):
        shutil.copy(ROOT / name, folder / name)
    pins = (ROOT / "requirements/dev.txt").read_text("utf-8")
    small = re.search(r"^idna==.*?(?=^\S)", pins, re.MULTILINE | re.DOTALL)
    assert small is not None
    (folder / "requirements/dev.txt").write_text(small[0])
    return folder


def set_up(folder: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return done_in(folder, ["make", "setup", "MEMBERS="], **env)


def done_in(folder: Path, command: list[str], **env: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **env}
    for name in ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "VENV"):
        environment.pop(name, None)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def python_that_says(folder: Path, version: str) -> str:
    """A program that looks like an interpreter of another version."""
    program = folder / "another-python"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(program)


def own_words(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """What was said, without the line by which make tells that a step failed."""
    return [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("make")]


def test_an_unsupported_python_is_told_at_once(project: Path) -> None:
    wrong = python_that_says(project, "3.10")
    done = set_up(project, PYTHON=wrong)
    assert done.returncode != 0
    assert own_words(done) == [
        f"{wrong} is Python 3.10, and IMC needs one of {' '.join(SUPPORTED)}: set PYTHON to it"
    ]
    assert not list(project.glob(".*")), "nothing was begun"


def test_what_is_no_python_is_told_at_once(project: Path) -> None:
    [said] = own_words(set_up(project, PYTHON="/is/not/there"))
    assert said == f"/is/not/there is no Python that runs: set PYTHON to one of {' '.join(SUPPORTED)}"


def test_without_a_network_it_says_so_in_one_line_and_works_later(project: Path) -> None:
    """Also after a run that was stopped half-way, or made with another Python."""
    nowhere = {
        "PIP_INDEX_URL": NOWHERE,
        "UV_DEFAULT_INDEX": NOWHERE,
        "PIP_FIND_LINKS": "",
        "PIP_NO_INDEX": "",
    }
    (project / ".uv").mkdir()
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/ready").touch()
    shutil.copy(python_that_says(project, "3.10"), project / ".venv/bin/python")

    done = set_up(project, PYTHON=sys.executable, **nowhere)
    assert done.returncode != 0
    assert own_words(done) == [
        "installing the tools and all packages into .venv, once: this takes a minute",
        f"the packages can't be fetched: the index at {NOWHERE} does not answer. Is there a network? "
        "(UV_DEFAULT_INDEX and PIP_INDEX_URL name another index)",
    ]

    done = set_up(project, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    made = subprocess.run(
        [project / ".venv/bin/python", "-c", "import idna, sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.strip() == HERE

    # From here on nothing is fetched until something is asked for that is not there.
    assert own_words(set_up(project, PYTHON=sys.executable, **nowhere)) == []


def installed(folder: Path) -> set[str]:
    """Which of two small packages are in the environment."""
    there = "from importlib.util import find_spec; print(*filter(find_spec, ('certifi', 'idna')))"
    command = [str(folder / ".venv/bin/python"), "-c", there]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_a_first_run_installs_no_more_than_it_needs(project: Path) -> None:
    pins = project / "requirements"
    needed = (pins / "dev.txt").read_text("utf-8")
    more = re.search(r"^certifi==.*?(?=^\S)", (ROOT / "requirements/dev.txt").read_text("utf-8"), re.M | re.S)
    assert more is not None
    (pins / "standalone.txt").write_text(needed)
    (pins / "dev.txt").write_text(more[0] + needed)
    for_a_run = ["sh", "requirements/environment.sh", "standalone", ".venv", sys.executable]

    done = done_in(project, for_a_run)
    assert done.returncode == 0
    assert own_words(done) == ["installing what standalone needs into .venv, once: this takes a minute"]
    assert installed(project) == {"idna"}
    assert set_up(project, PYTHON=sys.executable).returncode == 0
    assert installed(project) == {"certifi", "idna"}

    # A run takes nothing out again of an environment that has everything, also when that has to be renewed.
    (pins / "dev.txt").write_text(needed + more[0])
    assert done_in(project, for_a_run).returncode == 0
    assert installed(project) == {"certifi", "idna"}


def found(question: str, home: Path, path: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "requirements/python.sh", question],
        cwd=ROOT,
        env={"PATH": path, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def install(folder: Path, version: str) -> Path:
    """A program that says that it is Python ``version``."""
    folder.mkdir(parents=True)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncase $2 in *executable*) echo "$0";; *) echo {version};; esac\n')
    program.chmod(0o755)
    return program


def test_interpreters_of_pyenv_count(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "sed", "grep"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    (tools / "python3").symlink_to(install(tmp_path / "old", "3.9"))
    assert found("best", tmp_path, str(tools)).returncode == 1

    versions = tmp_path / ".pyenv/versions"
    least = install(versions / f"{SUPPORTED[-1]}.7/bin", SUPPORTED[-1])
    install(versions / "3.10.1/bin", "3.10")
    assert found("best", tmp_path, str(tools)).stdout.strip() == str(least)
    others = found("others", tmp_path, str(tools))
    assert others.stdout == ""
    assert f"Python {SHIPS} is not installed" in others.stderr

    ships = install(versions / f"{SHIPS}.0/bin", SHIPS)
    assert found("best", tmp_path, str(tools)).stdout.strip() == str(ships)
    assert found("others", tmp_path, str(tools)).stdout == f"{SUPPORTED[-1]}={least}\n"


def test_one_place_says_which_versions_are_supported_and_which_ships() -> None:
    assert sorted(SUPPORTED, key=lambda version: int(version.partition(".")[2]), reverse=True) == SUPPORTED
    least = SUPPORTED[-1]
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text("utf-8")
    assert re.findall(r"^ARG PYTHON_VERSION=(.*)$", dockerfile, re.MULTILINE) == [SHIPS]
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["python:${PYTHON_VERSION}-slim"] * 2
    workspace = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert workspace["project"]["requires-python"] == f">={least}"
    assert workspace["tool"]["pyright"]["pythonVersion"] == least
    assert workspace["tool"]["ruff"]["target-version"] == f"py{least.replace('.', '')}"
    for member in MEMBERS:
        assert tomllib.loads(member.read_text("utf-8"))["project"]["requires-python"] == f">={least}", member
    for name in ("README.md", "README.zh-CN.md"):
        told = re.findall(r"Python ((?:3\.\d+(?:, | or |、| 或 )?)+)", (ROOT / name).read_text("utf-8"))
        assert re.findall(r"3\.\d+", told[0]) == SUPPORTED[::-1], name
    assert (ROOT / ".ci/run").read_text("utf-8").rstrip().endswith("\nmake test")


def test_these_tests_run_on_a_supported_python() -> None:
    assert HERE in SUPPORTED
