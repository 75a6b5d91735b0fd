"""Builds client programs. Their packages come from public registries, so a test builds only when asked to."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from project_files import ROOT

SOURCES = Path(__file__).parent
CACHE = ROOT / ".clients"
"""Where programs are built and kept until their source changes."""

Command = Sequence[str]

QUICK_JAVA = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
"""Java with a short start: no compilation of hot code, one thread that collects garbage."""

JAVAC = ["javac", "--release", "17"]


@cache
def java() -> Path:
    """The clients in Java, with their packages in ``jars`` and their classes in ``classes``."""
    folder = SOURCES / "java"
    sources = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.java"))]
    return built(
        "java",
        files_of(folder),
        fetch=[["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]],
        build=[[*JAVAC, "-Xlint:all", "-cp", "jars/*", "-d", "classes", *sources]],
    )


@cache
def node() -> Path:
    """The client on `ws`."""
    return built("node", files_of(SOURCES / "node"), fetch=[["npm", "install", "--no-audit", "--no-fund"]])


@cache
def python() -> Path:
    """The client on websocket-client, in an environment of its own."""
    return built(
        "python",
        files_of(SOURCES / "python"),
        fetch=[
            [sys.executable, "-m", "venv", "environment"],
            ["environment/bin/pip", "install", "--quiet", "-r", "requirements.txt"],
        ],
    )


@cache
def go() -> Path:
    """The client on coder/websocket."""
    return built(
        "go",
        files_of(SOURCES / "go"),
        fetch=[["go", "mod", "tidy"]],
        build=[["go", "build", "-o", "gateway"]],
    )


def files_of(folder: Path) -> dict[str, str]:
    """The files of a folder, by their paths in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def ask_for(*programs: str) -> None:
    """Skip the test unless clients of other languages were asked for and these programs are installed."""
    if not os.environ.get("CLIENTS"):
        pytest.skip("packages of public registries are needed: run `make clients` or `make browser`")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def built(
    name: str, files: Mapping[str, str], *, fetch: Sequence[Command], build: Sequence[Command] = ()
) -> Path:
    """Build a client from files, by their paths; the folder that it is in.

    The test is skipped if a program of a command is missing or a package can't be fetched. It fails if
    ``build`` fails.
    """
    ask_for(*(command[0] for command in (*fetch, *build) if "/" not in command[0]))
    content = hashlib.sha256(repr((sorted(files.items()), fetch, build)).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{content}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".built").exists():
            _build(folder, files, fetch, build)
    return folder


def _build(
    folder: Path, files: Mapping[str, str], fetch: Sequence[Command], build: Sequence[Command]
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for command in fetch:
        done = _run(command, folder)
        if done.returncode:
            pytest.skip(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-500:]}")
    for command in build:
        done = _run(command, folder)
        assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
    (folder / ".built").touch()


def _run(command: Command, folder: Path) -> subprocess.CompletedProcess[str]:
    # Its packages are not to be found by those of the tests.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
