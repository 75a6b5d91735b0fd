"""The command as a whole: quick help, examples, completion, streams that nobody reads."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from imc_cli import program as table
from imc_cli.command import Command
from imc_cli.program import SUMMARIES
from imc_testkit.command import Imc, program
from imc_testkit.processes import Process
from imc_testkit.tokens import SECRET

pytestmark = pytest.mark.programs

PASSED_ON = {"capacity", "migrate"}
"""Commands whose options are those of another program."""

SLOW = {"asyncio", "fastapi", "httpx", "imc_gateway", "pydantic", "redis", "rich", "sqlalchemy", "uvicorn"}


def leaves() -> dict[str, click.Command]:
    """Every command that does something, by its words."""
    found: dict[str, click.Command] = {}
    for name in SUMMARIES:
        command: click.Command = import_module(f"imc_cli.commands.{name}").command
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": each for sub, each in command.commands.items()}
        else:
            found[name] = command
    return found


@pytest.mark.parametrize("words", leaves())
def test_each_command_has_help_with_examples(words: str) -> None:
    command = leaves()[words]
    assert command.help
    if words in PASSED_ON:
        return
    assert isinstance(command, Command)
    assert command.examples
    assert all(f"imc {words}" in example or "export" in example for example in command.examples)
    with click.Context(command, info_name=f"imc {words}") as context:
        shown = command.get_help(context)
    assert all(example in shown for example in command.examples)
    undescribed = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert undescribed == []


def test_help_and_completion_import_nothing_slow() -> None:
    code = (
        "import sys; from imc_cli.__main__ import status_of; status_of(['--help']);"
        f"print(sorted({SLOW!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert all(f"{name}  " in done.stdout for name in SUMMARIES)


def test_words_are_completed() -> None:
    complete = ShellComplete(table.program, {}, "imc", "_IMC_COMPLETE")
    assert [each.value for each in complete.get_completions([], "ga")] == ["gateways"]
    assert [each.value for each in complete.get_completions(["token"], "")] == ["inspect", "mint"]
    assert "--group" in [each.value for each in complete.get_completions(["send"], "--")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(alone: Imc, shell: str) -> None:
    assert "_IMC_COMPLETE" in alone("completion", shell)


def test_bash_completes_with_it(alone: Imc) -> None:
    asked = alone.with_(_IMC_COMPLETE="bash_complete", COMP_WORDS="imc ca", COMP_CWORD="1")
    assert asked() == "plain,capacity\n"


def test_an_unknown_command_or_option_is_an_error_of_usage(alone: Imc) -> None:
    assert "No such command 'sned'" in alone.refused("sned", code=2)
    assert "No such option" in alone.refused("--bogus", code=2)
    assert "No such option" in alone.refused("groups", "--app", "a", "--token", "x", code=2)


@pytest.mark.parametrize("outputs", ["| true", ">&-", "2>&-"])
@pytest.mark.parametrize("line", ["token mint --app a --scope send", "capacity", "--help"])
def test_output_that_nobody_reads_ends_quietly(line: str, outputs: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{program()} {line} {outputs}"],
        env={"PATH": os.environ["PATH"], "IMC_JWT_SECRET": SECRET, "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.returncode in (0, 1 if line == "--help" else 0, 141)


def test_a_full_disk_is_told(alone: Imc) -> None:
    command = f"{program()} token mint --app a --scope send >/dev/full"
    environment = {"PATH": os.environ["PATH"], "IMC_JWT_SECRET": SECRET}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    told = "can't write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_programs_behind_it_keep_their_words(alone: Imc) -> None:
    assert "usage: imc capacity " in alone("capacity", "--help")
    assert "usage: imc migrate " in alone("migrate", "--help")
    assert "usage: imc migrate adopt " in alone("migrate", "adopt", "--help")
    assert "IMC_DATABASE_URL: is missing" in alone.refused("migrate", code=2)
    assert "apps is 0" in alone.refused("capacity", "--apps", "0", code=2)


def test_migrate_makes_the_tables(alone: Imc, tmp_path: Path) -> None:
    file = tmp_path / "imc.db"
    done = alone.with_(IMC_DATABASE_URL=f"sqlite:///{file}").run("migrate")
    assert (done.returncode, file.is_file()) == (0, True)


async def test_run_is_standalone_with_options(tmp_path: Path) -> None:
    environment = {"IMC_DATA_DIR": str(tmp_path / "not-this")}
    arguments = ("run", "--data-dir", str(tmp_path / "data"))
    async with Process("imc", environment, arguments=arguments) as process:
        await process.ready()
        assert (tmp_path / "data").is_dir()
        assert not (tmp_path / "not-this").exists()
        assert await process.terminate() == 0


def test_run_listens_to_others_only_if_it_asks_for_tokens(alone: Imc, tmp_path: Path) -> None:
    call = ("run", "--host", "0.0.0.0", "--data-dir", str(tmp_path))
    assert "IMC_AUTH=off lets everybody" in alone.refused(*call, code=2)
    assert "one of IMC_JWT_SECRET and IMC_JWKS_URL" in alone.refused(*call, "--auth", "jwt", code=2)
