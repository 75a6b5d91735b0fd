"""``imc-migrate``: bring the tables up to date, then end. Safe to run twice, also at the same time."""

import os
import sys

from imc_service import logs
from imc_service.command_line import Program
from imc_service.settings import load_or_exit
from imc_service.standard_streams import standard_streams

from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.migrations.upgrade import MigrationError, migrate

PROGRAM = Program(
    name="imc-migrate",
    package="imc-command-api",
    purpose="Brings the tables up to date, then ends. Safe to run twice, also at the same time.",
    settings=(MigrateSettings,),
    example="IMC_DATABASE_URL=mysql://imc_migrate@127.0.0.1/imc imc-migrate",
)


def main() -> None:
    """Run with the settings of the environment; exit status 1 and the reason if it can't be done."""
    with standard_streams():
        PROGRAM.parser().parse_args()
        settings = load_or_exit(MigrateSettings, os.environ)
        logs.configure(PROGRAM.name, settings.log_level)
        try:
            migrate(settings.database_url.get_secret_value(), settings.migrate_wait_seconds)
        except MigrationError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
