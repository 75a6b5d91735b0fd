"""The command ``imc``."""

import sys
from collections.abc import Sequence

import click
from imc_service.standard_streams import standard_streams

from imc_cli.program import program

INTERRUPTED = 130
"""The exit status after Ctrl-C: as a shell reports a program that SIGINT ended."""


def main() -> None:
    """Run a subcommand: exit status 0 if it did its work, 1 if not, 2 if it was asked for wrongly."""
    with standard_streams():
        sys.exit(status_of(sys.argv[1:]))


def status_of(arguments: Sequence[str]) -> int:
    """Run ``imc`` with these arguments; the exit status. An error is one line on standard error."""
    try:
        result = program.main([*arguments], "imc", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
