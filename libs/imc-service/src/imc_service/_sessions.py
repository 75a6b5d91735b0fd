"""One connection in use, the same whichever driver is below it. For `imc_service.database` alone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

from imc_service._mysql_rows import Row, fetch_rows

Values = Sequence[Any]


class Session(Protocol):
    """One connection in use by one task."""

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        """All rows of a SELECT."""
        ...

    async def execute(self, sql: str, values: Values = ()) -> int:
        """Run a statement; the number of rows that it changed."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> int:
        """Run a statement once a row, in as few round trips as the driver can; the rows changed in all."""
        ...


@lru_cache(maxsize=512)
def _with_percent(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


class MysqlSession:
    """A connection of aiomysql."""

    begin_sql = "START TRANSACTION"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        connection = self._connection
        escaped = [value if type(value) is int else connection.escape(value) for value in values]
        return await fetch_rows(connection, _with_percent(sql) % tuple(escaped))

    async def execute(self, sql: str, values: Values = ()) -> int:
        async with self._connection.cursor() as cursor:
            return cast(int, await cursor.execute(_with_percent(sql), values))

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> int:
        async with self._connection.cursor() as cursor:
            # aiomysql joins the rows into few statements if the text has "VALUES (", with the space.
            return cast(int, await cursor.executemany(_with_percent(sql), rows)) or 0

    @property
    def usable(self) -> bool:
        """Whether the next use finds the connection as a new one would be."""
        connection = self._connection
        if connection.closed or connection.get_transaction_status():
            return False
        reader = connection._reader
        # MySQL 8 says that it closes a connection that was idle for too long before it does.
        return not (reader.at_eof() or reader.eof_received or reader.exception())

    def abandon(self) -> None:
        # Closed rather than returned: the rest of an unread reply would answer the next statement.
        self._connection.close()


class SqliteSession:
    """A connection of aiosqlite."""

    # Taking the write lock at once waits for it; taking it at the first write fails where another waits too.
    begin_sql = "BEGIN IMMEDIATE"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        async with self._connection.execute(sql, values) as cursor:
            return cast("list[Row]", list(await cursor.fetchall()))

    async def execute(self, sql: str, values: Values = ()) -> int:
        async with self._connection.execute(sql, values) as cursor:
            return cast(int, cursor.rowcount)

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> int:
        async with self._connection.executemany(sql, rows) as cursor:
            return cast(int, cursor.rowcount)

    @property
    def usable(self) -> bool:
        """Never: closing it undoes what was not committed."""
        return False

    def abandon(self) -> None:
        """Nothing to do: the connection is closed after each use, which undoes what was not committed."""
