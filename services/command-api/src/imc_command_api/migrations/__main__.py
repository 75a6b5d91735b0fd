"""``imc-migrate``: bring the tables up to date, then end. Safe to run twice, also at the same time.

``imc-migrate adopt`` copies the rows of the Java version into them.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence

from imc_service import logs
from imc_service.command_line import Program
from imc_service.settings import load_or_exit
from imc_service.standard_streams import standard_streams

from imc_command_api.migrations.adopt import command
from imc_command_api.migrations.adopt.failures import AdoptionError
from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.migrations.upgrade import migrate
from imc_command_api.migrations.version import MigrationError

PROGRAM = Program(
    name="imc-migrate",
    package="imc-command-api",
    purpose="Brings the tables up to date, then ends. Safe to run twice, also at the same time.",
    settings=(MigrateSettings,),
    example="IMC_DATABASE_URL=mysql://imc_migrate@127.0.0.1/imc imc-migrate",
)

_INTERRUPTED = 130
"""As shells report a program that SIGINT ended."""


def main() -> None:
    """Run with the settings of the environment; exit status 1 and the reason if it can't be done."""
    with standard_streams():
        run(sys.argv[1:], PROGRAM.name)


def run(arguments: Sequence[str], name: str) -> None:
    """The same with these arguments, for a program called ``name``."""
    parser = dataclasses.replace(PROGRAM, name=name).parser()
    commands = parser.add_subparsers(dest="command", metavar="adopt")
    adopt = commands.add_parser(
        "adopt", help="copy the rows of the Java version", description=command.PURPOSE
    )
    command.add_arguments(adopt)
    given = parser.parse_args(arguments)
    settings = load_or_exit(MigrateSettings, os.environ)
    logs.configure(PROGRAM.name, settings.log_level)
    try:
        if given.command == "adopt":
            sys.exit(_adopt(adopt, given, settings))
        migrate(settings.database_url.get_secret_value(), settings.migrate_wait_seconds)
    except (MigrationError, AdoptionError) as error:
        sys.exit(str(error))


def _adopt(parser: argparse.ArgumentParser, arguments: argparse.Namespace, settings: MigrateSettings) -> int:
    try:
        return command.run(command.order_of(arguments, settings))
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    main()
