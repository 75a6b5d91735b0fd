"""``imc capacity``."""

import click
from imc_capacity.__main__ import main


@click.command(
    add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Compute what an installation needs. Options and help are those of imc_capacity."""
    main(arguments)
