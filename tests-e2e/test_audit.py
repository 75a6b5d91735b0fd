"""How the audit of pins ends: vulnerable pins are told from an index that tells nothing of them."""

import subprocess
from pathlib import Path

import pytest
from imc_testkit.programs import search_path

SCRIPT = Path(__file__).parents[1] / "requirements/audit.sh"
NONE = "No known vulnerabilities found"
FOUND = "Found 1 known vulnerability in 1 package\nName Version ID\nx 1.0 PYSEC-1"
SILENT = "Name Skip Reason\nx Dependency not found on PyPI and could not be audited: x (1.0)"


@pytest.mark.parametrize(
    ("first", "second", "ends", "says"),
    [
        ((NONE, 0), (NONE, 0), 0, ""),
        ((FOUND, 1), (NONE, 0), 1, "there are known vulnerabilities"),
        ((SILENT, 0), (FOUND, 1), 1, "there are known vulnerabilities"),
        ((FOUND + "\n" + SILENT, 1), (SILENT, 0), 1, "there are known vulnerabilities"),
        ((SILENT, 0), (NONE, 0), 3, "not all pins were audited"),
        ((NONE, 0), ("no route to host", 1), 3, "not all pins were audited"),
    ],
)
def test_the_end_of_an_audit(
    tmp_path: Path, first: tuple[str, int], second: tuple[str, int], ends: int, says: str
):
    pins = tmp_path / "requirements"
    pins.mkdir()
    for name, (told, status) in (("one", first), ("two", second)):
        (pins / f"{name}.txt").write_text(f"echo '{told}'; exit {status}\n")
    tool = tmp_path / "pip-audit"
    # In the place of pip-audit: does what the last of its arguments, a file of pins, says.
    tool.write_text('#!/bin/sh\nfor last in "$@"; do :; done\n. "./$last"\n')
    tool.chmod(0o755)
    command, env = ["sh", str(SCRIPT), str(tool)], {"PATH": search_path()}
    audit = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert audit.returncode == ends, audit.stdout
    assert says in audit.stderr
    assert audit.stdout.count("requirements/") == 2
