"""docs/command-line.md names every command and option that it should, and its commands work as typed."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from imc_cli.program import SUMMARIES, program
from imc_testkit.deployment import standalone
from project_files import ROOT

pytestmark = pytest.mark.programs

WRITTEN_ADDRESS = "http://127.0.0.1:8000"
TEXT = (ROOT / "docs/command-line.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```\n", TEXT, re.MULTILINE | re.DOTALL)
ENDLESS = ("imc run", "imc tail")
"""Commands that run until they are stopped: that they would start is all that can be tested here."""


def commands_of(name: str) -> list[str]:
    """The words of a command, or those of all its subcommands."""
    command: click.Command = import_module(f"imc_cli.commands.{name}").command
    return [f"{name} {sub}" for sub in command.commands] if isinstance(command, click.Group) else [name]


def test_every_command_is_described():
    listed = TEXT.partition("## Where")[0]
    named = {
        word for cell in re.findall(r"^\| \[(`imc .*?)\]", listed, re.MULTILINE) for word in described(cell)
    }
    assert named == {words for name in SUMMARIES for words in commands_of(name)}


def described(cell: str) -> list[str]:
    """The commands of a cell such as ```imc token mint`, `inspect```."""
    first, *others = re.findall(r"`(?:imc )?(.*?)`", cell)
    return [first, *(f"{first.partition(' ')[0]} {other}" for other in others)]


def endless(block: str) -> list[str]:
    return [line for line in block.splitlines() if line.startswith(ENDLESS)]


def test_commands_that_run_until_they_are_stopped_have_options_that_exist():
    lines = [line for block in BLOCKS for line in endless(block)]
    assert {line.split()[1] for line in lines} == {"run", "tail"}
    for line in lines:
        _, name, *arguments = shlex.split(line)
        with click.Context(program, info_name="imc") as parent:
            command = program.get_command(parent, name)
            assert command is not None
            command.make_context(name, arguments, parent=parent)


@pytest.mark.timeout(300)
async def test_the_commands_work_as_typed(tmp_path: Path):
    typed = "\n".join("" if endless(block) else block for block in BLOCKS)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "no_proxy": "127.0.0.1",
    }
    async with standalone(tmp_path / "data") as deployment:
        script = typed.replace(WRITTEN_ADDRESS, deployment.command_apis[0].url)
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-e", "-u", "-o", "pipefail", "-x", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert "closed tonight" in done.stdout
    assert len((tmp_path / "lobby.ndjson").read_text("utf-8").splitlines()) >= 1
