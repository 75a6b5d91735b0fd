"""Making the changes that are missing, by alembic."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from imc_service.database.url import MysqlServer, SqliteFile
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from imc_command_api.migrations.version import LOCK_SECONDS, MigrationError, open_connection

_GET_LOCK = sa.text("SELECT GET_LOCK(:name, :seconds)")


def make_changes(server: MysqlServer | SqliteFile) -> None:
    """Make the changes that are missing, after those that another process is making.

    Raises `MigrationError`.
    """
    engine = sa.create_engine(
        "sqlite://" if isinstance(server, SqliteFile) else "mysql+pymysql://",
        creator=partial(open_connection, server),
        poolclass=sa.NullPool,
    )
    try:
        with _locked(engine) as connection:
            _upgrade(connection)
    except SQLAlchemyError as error:
        raise MigrationError(f"the migration failed: {_reason(error)}") from error
    finally:
        engine.dispose()


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
            elif connection.scalar(_GET_LOCK, {"name": _lock_name(connection), "seconds": LOCK_SECONDS}) != 1:
                raise MigrationError("another migration has been under way for too long")
            yield connection


def _lock_name(connection: sa.Connection) -> str:
    """The name of the lock of this database on its server. Such a name has at most 64 characters.

    The name of a database can have as many, and not every server can hash it.
    """
    database = str(connection.scalar(sa.text("SELECT DATABASE()")))
    return f"imc-migrate-{hashlib.sha256(database.encode()).hexdigest()[:32]}"


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "imc_command_api:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _reason(error: SQLAlchemyError) -> str:
    """What the driver said; the statement and its values stay out of logs."""
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
