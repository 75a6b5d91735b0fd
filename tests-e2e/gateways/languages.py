"""How the client in each language is made ready to run."""

from pathlib import Path

from clients.toolchains import JAVAC, built, files_of
from project_files import ROOT

EXAMPLES = ROOT / "examples"


def javascript(name: str, program: str) -> Path:
    """A folder with the client, the package it needs, and a program of this name."""
    files = {**files_of(EXAMPLES / "javascript"), name: program}
    return built(
        f"example-{Path(name).stem}-js", files, fetch=[["npm", "install", "--no-audit", "--no-fund"]]
    )


def java(name: str, program: str) -> Path:
    """The folder with the classes of the client and of a program of this name."""
    files = {**files_of(EXAMPLES / "java"), name: program}
    compiled = [*JAVAC, "-Xlint:all", "-Werror", "-d", "classes", "ImcGateway.java", name]
    return built(f"example-{Path(name).stem}-java", files, fetch=[], build=[compiled]) / "classes"
