"""``imc migrate``."""

import click
from imc_command_api.migrations.__main__ import run


@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Make the tables. Options and help are those of imc-migrate, which containers start."""
    run(arguments, "imc migrate")
