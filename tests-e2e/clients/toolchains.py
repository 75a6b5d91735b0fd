"""Builds client programs. Their packages come from public registries, so a test builds only when asked to."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from project_files import ROOT

SOURCES = Path(__file__).parent
CACHE = ROOT / ".clients"
"""Where programs are built and kept until their source changes."""

Command = Sequence[str]


def built(
    name: str, source: Path | Mapping[str, str], *, fetch: Sequence[Command], build: Sequence[Command] = ()
) -> Path:
    """Build a client from a folder, or from files by their names; the folder it is in.

    The test is skipped if a program of a command is missing or a package can't be fetched. It fails if
    ``build`` fails.
    """
    if not os.environ.get("CLIENTS"):
        pytest.skip("clients of other languages need packages of their registries: run `make clients`")
    for program in (command[0] for command in (*fetch, *build)):
        if "/" not in program and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    files = _files_of(source)
    written = hashlib.sha256(repr((sorted(files.items()), fetch, build)).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{written}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".built").exists():
            _build(folder, files, fetch, build)
    return folder


def _files_of(source: Path | Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(source, Path):
        files = (path for path in sorted(source.rglob("*")) if path.is_file())
        return {str(path.relative_to(source)): path.read_text() for path in files}
    return source


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
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        stdin=subprocess.DEVNULL,
    )
