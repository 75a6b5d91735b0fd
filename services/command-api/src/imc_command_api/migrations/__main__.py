"""``imc-migrate``: bring the tables up to date, then end. Safe to run twice, also at the same time."""

import os
import sys

from imc_service import logs
from imc_service.settings import load_or_exit

from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.migrations.upgrade import MigrationError, migrate


def main() -> None:
    """Run with the settings of the environment; exit status 1 and the reason if it can't be done."""
    settings = load_or_exit(MigrateSettings, os.environ)
    logs.configure("imc-migrate", settings.log_level)
    try:
        migrate(settings.database_url.get_secret_value(), settings.migrate_wait_seconds)
    except MigrationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
