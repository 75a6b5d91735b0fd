"""Bringing the tables up to date, from an installed package, without a configuration file."""

import hashlib
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from imc_service.database.blocking import connect
from imc_service.database.url import MysqlServer, SqliteFile, parse
from imc_service.logs import get_logger
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

logger = get_logger("migrations")

VERSION_TABLE = "imc_schema_version"
"""A name of our own: the database may be shared with another user of alembic."""

_VERSIONS = Path(__file__).parent / "versions"
_LOCK_SECONDS = 3600
_RETRY_SECONDS = 0.5
_GET_LOCK = sa.text("SELECT GET_LOCK(:name, :seconds)")


class MigrationError(Exception):
    """The tables could not be brought up to date; the message says why."""


def migrate(database_url: str, wait_seconds: float = 60) -> None:
    """Make the tables, or bring them up to date. Tables of others in the same database are left alone.

    Blocks. Waits up to ``wait_seconds`` for a server that is still starting, and for another migration under
    way until it is done. ``database_url`` is any that `imc_service.urls.DatabaseUrl` takes.
    Raises `MigrationError`.
    """
    engine = _engine(parse(database_url))
    try:
        _wait_for(engine, wait_seconds)
        if not _is_current(engine):
            with _locked(engine) as connection:
                _upgrade(connection)
    except SQLAlchemyError as error:
        raise MigrationError(f"the migration failed: {_reason(error)}") from error
    finally:
        engine.dispose()
    logger.info("the tables are up to date")


def is_current(database_url: str) -> bool:
    """Whether `migrate` would have nothing to do. Blocks. Raises `MigrationError`."""
    engine = _engine(parse(database_url))
    try:
        return _is_current(engine)
    except SQLAlchemyError as error:
        raise MigrationError(f"the tables can't be looked at: {_reason(error)}") from error
    finally:
        engine.dispose()


def _engine(server: MysqlServer | SqliteFile) -> sa.Engine:
    if isinstance(server, SqliteFile):
        server.keep_private()
        # With the driver's own handling of transactions off, DDL is part of ours.
        return sa.create_engine(
            "sqlite://",
            creator=lambda: sqlite3.connect(server.path, isolation_level=None, timeout=_LOCK_SECONDS),
            poolclass=sa.NullPool,
        )
    return sa.create_engine("mysql+pymysql://", creator=partial(connect, server), poolclass=sa.NullPool)


def _wait_for(engine: sa.Engine, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
                return
        except OperationalError as error:
            # A file that can't be opened stays so; a server may be about to come.
            if engine.dialect.name == "sqlite" or time.monotonic() > deadline:
                raise MigrationError(f"the database is out of reach: {_reason(error)}") from error
            logger.info("waiting for the database", reason=_reason(error))
            time.sleep(_RETRY_SECONDS)


@contextmanager
def _locked(engine: sa.Engine) -> Generator[sa.Connection]:
    """A connection in a transaction that no other migration runs beside.

    alembic joins a transaction that is open: on SQLite a migration happens as a whole or not at all. Servers
    of MySQL's protocol commit with each change of a table, so that their migrations must be repeatable, and
    lock by name; the lock ends with the connection.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.commit()
        with connection.begin():
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif (
                connection.scalar(_GET_LOCK, {"name": _lock_name(connection), "seconds": _LOCK_SECONDS}) != 1
            ):
                raise MigrationError("another migration has been under way for too long")
            yield connection


def _lock_name(connection: sa.Connection) -> str:
    """The name of the lock of this database on its server. Such a name has at most 64 characters.

    The name of a database can have as many, and not every server can hash it.
    """
    database = str(connection.scalar(sa.text("SELECT DATABASE()")))
    return f"imc-migrate-{hashlib.sha256(database.encode()).hexdigest()[:32]}"


def _is_current(engine: sa.Engine) -> bool:
    """Whether the newest change is made: its file bears its number, which is noted once it is complete.

    Raises `MigrationError` if a change was made that this release does not know.
    """
    known = sorted(path.name[:4] for path in _VERSIONS.glob("*.py"))
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return False
        made = [*connection.scalars(sa.text(f"SELECT version_num FROM {VERSION_TABLE}"))]  # noqa: S608
    if unknown := sorted({*made} - {*known}):
        raise MigrationError(
            f"{VERSION_TABLE} says {unknown[0]}, unknown to this release (its newest is {known[-1]}): "
            "run the imc-migrate of the release that made the tables"
        )
    return made == [known[-1]]


def _upgrade(connection: sa.Connection) -> None:
    # Not at the top: standalone looks here at each of its starts, and alembic takes long to import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "imc_command_api:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _reason(error: SQLAlchemyError) -> str:
    """What the driver said; the statement and its values stay out of logs."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
