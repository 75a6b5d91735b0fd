"""The command ``imc`` and its table of subcommands.

A subcommand is imported when it is used: ``imc --help`` and completion come at once.
"""

from importlib import import_module

import click
from click.shell_completion import CompletionItem

MESSAGES = {
    "send": "Send a message, or each line of standard input",
    "tail": "Show events of an app as they happen",
    "history": "Show messages that were sent",
    "recall": "Take a message back",
    "notice": "Publish, delete and list notices",
    "groups": "List the groups of an app or of a user",
    "export": "Write all messages and notices to a file",
}
OPERATION = {
    "gateways": "List gateways, and disconnect one",
    "apps": "List apps with their rates and backlogs",
    "deadletters": "List, replay and drop what could not be stored",
    "erase": "Erase what a user wrote, a group, or an app",
    "token": "Make tokens, and look into them",
    "check": "Check settings, Redis and database",
}
INSTALLATION = {
    "run": "Run all of IMC in one process",
    "migrate": "Make the tables, or copy those of the Java version",
    "capacity": "Compute what an installation needs",
    "bench": "Measure an installation as its clients see it",
    "completion": "Print what a shell needs to complete imc",
}
SECTIONS = {"Messages": MESSAGES, "Operation": OPERATION, "Installation": INSTALLATION}
SUMMARIES = MESSAGES | OPERATION | INSTALLATION


class _Program(click.Group):
    """The subcommands by their table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return import_module(f"imc_cli.commands.{cmd_name}").command if cmd_name in SUMMARIES else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, summaries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([*summaries.items()], col_max=14)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in SUMMARIES if name.startswith(incomplete)]
        items = [CompletionItem(name, help=SUMMARIES[name]) for name in names]
        return items + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="`imc COMMAND --help` shows the options of a command, and examples.",
)
@click.version_option(package_name="imc-cli", prog_name="imc", message="%(prog)s %(version)s")
def program() -> None:
    """Send, read and operate an installation of IMC, the message center behind group chat."""
