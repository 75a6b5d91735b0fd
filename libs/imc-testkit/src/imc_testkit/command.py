"""The command ``imc``, run as in a shell."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self


def program() -> str:
    """Its path in this environment."""
    return str(Path(sys.executable).parent / "imc")


@dataclass(frozen=True)
class Imc:
    """The command with an environment of its own."""

    environment: Mapping[str, str]

    def run(self, *arguments: str, typed: bytes = b"") -> "subprocess.CompletedProcess[str]":
        """Run it to its end, with ``typed`` as its standard input."""
        done = subprocess.run(
            [program(), *arguments],
            input=typed,
            env={"PATH": os.environ["PATH"], **self.environment},
            capture_output=True,
            check=False,
            timeout=60,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def __call__(self, *arguments: str, typed: bytes = b"") -> str:
        """What it prints if it does its work."""
        done = self.run(*arguments, typed=typed)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *arguments: str, code: int = 1, typed: bytes = b"") -> str:
        """What it says if it can't do its work: no traceback, and nothing on standard output."""
        done = self.run(*arguments, typed=typed)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert "Traceback" not in done.stderr
        return done.stderr

    def with_(self, **variables: str) -> Self:
        """The same with more variables."""
        return replace(self, environment={**self.environment, **variables})
