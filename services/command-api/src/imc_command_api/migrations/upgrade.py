"""Bringing the tables up to date, from an installed package, without a configuration file."""

import contextlib

from imc_service.database.errors import ERRORS
from imc_service.database.url import parse
from imc_service.logs import get_logger

from imc_command_api.migrations.version import MigrationError, has_all_changes, wait_for

logger = get_logger("migrations")


def migrate(database_url: str, wait_seconds: float = 60) -> None:
    """Make the tables, or bring them up to date. Tables of others in the same database are left alone.

    Blocks. Waits up to ``wait_seconds`` for a server that is still starting, and for another migration under
    way until it is done. ``database_url`` is any that `imc_service.urls.DatabaseUrl` takes.
    Raises `MigrationError`.
    """
    server = parse(database_url)
    try:
        with contextlib.closing(wait_for(server, wait_seconds)) as connection:
            is_current = has_all_changes(connection)
        if not is_current:
            # Not at the top: what makes changes is slow to import.
            from imc_command_api.migrations.changes import make_changes

            make_changes(server)
    except ERRORS as error:
        raise MigrationError(f"the migration failed: {error}") from error
    logger.info("the tables are up to date")
