"""One connection in use, the same whichever driver is below it. For `imc_service.database.database` alone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol, cast

from imc_service.database import _drivers
from imc_service.database._mysql_rows import Row, fetch_rows

Values = Sequence[Any]

SESSION = (
    # Texts as they are: an init_connect of the server's may have chosen another character set.
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin"
    # Strict, "\\" escapes, '"' quotes a text, CHAR is not padded.
    ", SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
    ", SESSION time_zone = '+00:00'"
    # Each statement is committed by itself, and nothing begins a transaction but START TRANSACTION.
    ", SESSION autocommit = 1, SESSION completion_type = 0"
    # A reply has all rows, in their true order, and every warning: `_mysql_rows` makes errors of these.
    ", SESSION sql_select_limit = 18446744073709551615, SESSION sql_big_selects = 1"
    ", SESSION sql_safe_updates = 0, SESSION max_error_count = 64 /*M! , SESSION max_sort_length = 1024 */"
    # A key of a table that others have added an index to is looked up, not believed.
    ", SESSION unique_checks = 1"
    # Connections are kept for the next use; the server must not close them within seconds.
    ", SESSION wait_timeout = 28800"
)
"""What every statement of ours relies on, said rather than left to the server's defaults."""

_TRANSACTIONS = (
    # Gap locks of the default level make projectors that write side by side deadlock. MariaDB before 11.1 and
    # MySQL have no common name for these variables: each reads its own kind of comment as a statement.
    " /*M!100000 , SESSION tx_isolation = 'READ-COMMITTED', SESSION tx_read_only = 0 */"
    " /*!80000 , SESSION transaction_isolation = 'READ-COMMITTED', SESSION transaction_read_only = 0 */"
    # A process that hangs inside a transaction must not hold its locks for as long as it hangs.
    " /*M!100300 , SESSION idle_transaction_timeout = 5 */"
)
LEAST_PACKET_BYTES = 262_144
"""What the largest row takes as a statement, each of its characters escaped."""

_STATEMENT_BYTES = 1_024_000
_STATEMENT_MARGIN = 4_096


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
        self._statement_bytes = _STATEMENT_BYTES

    async def start(self) -> None:
        """Make the session what statements rely on, whatever the server's defaults are.

        Raises what the driver raises, and `ConnectionError` if the server can't give it.
        """
        # Not by a cursor, for which a warning is an error: newer servers call some of these deprecated.
        await self._connection.query(SESSION + _TRANSACTIONS)
        await self._connection.query(
            "ROLLBACK"
        )  # an init_connect of the server's may have begun a transaction
        [(packet_bytes,)] = await self.fetch_all("SELECT @@max_allowed_packet")
        if packet_bytes < LEAST_PACKET_BYTES:
            raise ConnectionError(
                f"the server's max_allowed_packet is {packet_bytes}: set it to {LEAST_PACKET_BYTES} or more"
            )
        self._statement_bytes = min(_STATEMENT_BYTES, packet_bytes - _STATEMENT_MARGIN)

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        connection = self._connection
        escaped = [value if type(value) is int else connection.escape(value) for value in values]
        return await fetch_rows(connection, _with_percent(sql) % tuple(escaped))

    async def execute(self, sql: str, values: Values = ()) -> int:
        async with self._connection.cursor() as cursor:
            return cast(int, await cursor.execute(_with_percent(sql), values))

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> int:
        async with self._connection.cursor() as cursor:
            cursor.max_stmt_length = self._statement_bytes
            # aiomysql joins the rows into few statements if the text has "VALUES (", with the space.
            return cast(int, await cursor.executemany(_with_percent(sql), rows)) or 0

    @property
    def usable(self) -> bool:
        """Whether the next use finds the connection as a new one would be."""
        return _drivers.is_open(self._connection)

    def abandon(self) -> None:
        """Close it at once: the rest of an unread reply would answer the next statement."""
        self._connection.close()

    async def end(self) -> None:
        """Close the connection, also if it is closed."""
        self._connection.close()


class SqliteSession:
    """A connection of aiosqlite."""

    # Taking the write lock at once waits for it; taking it at the first write fails where another waits too.
    begin_sql = "BEGIN IMMEDIATE"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def start(self) -> None:
        """Nothing to do: what statements rely on is SQLite's only way."""

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
        """Nothing to do: the connection is closed after each use."""

    async def end(self) -> None:
        """Close the connection, which undoes what was not committed."""
        await self._connection.close()
