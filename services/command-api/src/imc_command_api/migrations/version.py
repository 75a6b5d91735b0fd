"""Which changes were made to the tables, and whether that is all of them.

Standalone asks at each of its starts, and mostly nothing is to be done. So this needs the drivers alone:
SQLAlchemy and alembic, which make the changes, are slow to import.
"""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any

import pymysql.err
from imc_service.database.blocking import connect
from imc_service.database.errors import ERRORS
from imc_service.database.url import MysqlServer, SqliteFile, parse
from imc_service.logs import get_logger
from pymysql.constants import ER

logger = get_logger("migrations")

VERSION_TABLE = "imc_schema_version"
"""A name of our own: the database may be shared with another user of alembic."""

LOCK_SECONDS = 3600
"""How long to wait for another migration under way."""

_VERSIONS = Path(__file__).parent / "versions"
_RETRY_SECONDS = 0.5
_MADE = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant name


class MigrationError(Exception):
    """The tables could not be brought up to date; the message says why."""


def is_current(database_url: str) -> bool:
    """Whether there is no change to make. Blocks. Raises `MigrationError`."""
    try:
        with contextlib.closing(open_connection(parse(database_url))) as connection:
            return has_all_changes(connection)
    except ERRORS as error:
        raise MigrationError(f"the tables can't be looked at: {error}") from error


def open_connection(server: MysqlServer | SqliteFile) -> Any:
    """A connection of the driver, whose statements block. Raises one of `ERRORS`."""
    if isinstance(server, MysqlServer):
        return connect(server)
    server.keep_private()
    # With the driver's own handling of transactions off, DDL is part of ours.
    return sqlite3.connect(server.path, isolation_level=None, timeout=LOCK_SECONDS)


def wait_for(server: MysqlServer | SqliteFile, seconds: float) -> Any:
    """A connection of the driver, once there can be one.

    Raises `MigrationError` if the database is out of reach for ``seconds``, and other `ERRORS` at once.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return open_connection(server)
        except (pymysql.err.OperationalError, sqlite3.OperationalError) as error:
            # A file that can't be opened stays so; a server may be about to come.
            if isinstance(server, SqliteFile) or time.monotonic() > deadline:
                raise MigrationError(f"the database is out of reach: {error}") from error
            logger.info("waiting for the database", reason=str(error))
            time.sleep(_RETRY_SECONDS)


def has_all_changes(connection: Any) -> bool:
    """Whether the newest change is made: its file bears its number, which is noted once it is complete.

    Raises one of `ERRORS`, and `MigrationError` if a change was made that this release does not know.
    """
    known = sorted(path.name[:4] for path in _VERSIONS.glob("*.py"))
    made = _made(connection)
    if unknown := sorted({*made} - {*known}):
        raise MigrationError(
            f"{VERSION_TABLE} says {unknown[0]}, unknown to this release (its newest is {known[-1]}): "
            "run the imc-migrate of the release that made the tables"
        )
    return made == [known[-1]]


def _made(connection: Any) -> list[str]:
    cursor = connection.cursor()
    try:
        cursor.execute(_MADE)
    except pymysql.err.ProgrammingError as error:
        if error.args[0] != ER.NO_SUCH_TABLE:
            raise
        return []
    except sqlite3.OperationalError as error:
        if not str(error).startswith("no such table"):
            raise
        return []
    return [version for (version,) in cursor.fetchall()]
