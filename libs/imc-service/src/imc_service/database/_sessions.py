"""One connection in use, with the same methods for each driver. For `imc_service.database.database` only."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import pymysql.err
from pymysql.constants import ER, SERVER_STATUS

from imc_service.database import _drivers
from imc_service.database._mysql_rows import Row, fetch_rows
from imc_service.database._mysql_text import Values, many_rows_of, template_of, with_values

SESSION = (
    # The server's init_connect may have chosen another character set.
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin"
    # Strict, "\\" escapes, '"' quotes a text, CHAR is not padded.
    ", SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
    ", SESSION time_zone = '+00:00'"
    # Each statement is committed by itself. Only START TRANSACTION begins a transaction.
    ", SESSION autocommit = 1, SESSION completion_type = 0"
    # A reply has all rows, in their order, and every warning, which `_mysql_rows` turns into errors.
    ", SESSION sql_select_limit = 18446744073709551615, SESSION sql_big_selects = 1"
    ", SESSION sql_safe_updates = 0, SESSION max_error_count = 64 /*M! , SESSION max_sort_length = 1024 */"
    # Unique keys are always checked.
    ", SESSION unique_checks = 1"
    # Connections are kept for the next use: the server must not close them within seconds.
    ", SESSION wait_timeout = 28800"
)
"""What every statement relies on, whatever the defaults of the server are."""

_TRANSACTIONS = (
    # With the gap locks of the default level, projectors that write at the same time deadlock. MariaDB before
    # 11.1 and MySQL have no common name for these variables: each executes its own kind of comment.
    " /*M!100000 , SESSION tx_isolation = 'READ-COMMITTED', SESSION tx_read_only = 0 */"
    " /*!80000 , SESSION transaction_isolation = 'READ-COMMITTED', SESSION transaction_read_only = 0 */"
    # A process that hangs inside a transaction must not hold its locks for as long as it hangs.
    " /*M!100300 , SESSION idle_transaction_timeout = 5 */"
)
_GALERA = "SET SESSION wsrep_dirty_reads = 0"
"""A node that was cut off from its cluster refuses to read. MySQL does not know this variable."""

_GALERA_CAUSAL = f"{_GALERA}, SESSION wsrep_sync_wait = 1"
"""And a SELECT first waits until the node has all that the cluster has committed."""

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


class MysqlSession:
    """A connection of aiomysql."""

    begin_sql = "START TRANSACTION"

    def __init__(self, connection: Any, *, causal_reads: bool = False) -> None:
        """With ``causal_reads`` a node of Galera reads what all nodes had committed before."""
        self._connection = connection
        self._causal_reads = causal_reads
        self._statement_bytes = _STATEMENT_BYTES
        self._is_retired = False

    async def start(self) -> None:
        """Set what statements rely on.

        Raises what the driver raises, and `ConnectionError` if the server does not allow it.
        """
        # Not by a cursor, which raises warnings: newer servers warn that some of these are deprecated.
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
        await self._set_up_for_galera()

    async def _set_up_for_galera(self) -> None:
        try:
            await self._connection.query(_GALERA_CAUSAL if self._causal_reads else _GALERA)
        except pymysql.err.Error as error:
            if error.args[0] != ER.UNKNOWN_SYSTEM_VARIABLE:
                raise
            # MySQL, or a MariaDB that was built without Galera.

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        return await fetch_rows(self._connection, with_values(template_of(sql), values, self._escape))

    async def execute(self, sql: str, values: Values = ()) -> int:
        statement = with_values(template_of(sql), values, self._escape)
        async with self._connection.cursor() as cursor:
            return cast(int, await cursor.execute(statement))

    async def execute_many(self, sql: str, rows: Sequence[Values]) -> int:
        many = many_rows_of(sql)
        if many is None:
            return sum([await self.execute(sql, row) for row in rows])
        changed = 0
        async with self._connection.cursor() as cursor:
            for statement in many.statements(rows, self._statement_bytes, self._escape):
                changed += cast(int, await cursor.execute(statement))
        return changed

    @property
    def _escape(self) -> Callable[[Any], str]:
        """The driver's escaping, for values of rarer types.

        Raises `ConnectionError` if a backslash is a letter like others by now, as behind a proxy that goes on
        with another server: texts would not be what they are.
        """
        if self._connection.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
            raise ConnectionError("the session has lost its sql_mode")
        return self._connection.escape

    @property
    def usable(self) -> bool:
        """Whether the next use finds the connection as a new one would be."""
        return not self._is_retired and _drivers.is_open(self._connection)

    def retire(self) -> None:
        """Let this use of the connection be the last one."""
        self._is_retired = True

    def cut(self) -> None:
        """Close it at once, though a reply is waited for, which becomes an error."""
        _drivers.cut(self._connection)

    def abandon(self) -> None:
        """Close it at once: the rest of an unread reply would answer the next statement."""
        self._connection.close()

    async def end(self) -> None:
        """Close the connection, also if it is closed."""
        self._connection.close()


class SqliteSession:
    """A connection of aiosqlite."""

    # Taking the write lock at the beginning waits for it. At the first write it would fail if another waits.
    begin_sql = "BEGIN IMMEDIATE"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def start(self) -> None:
        """Nothing to do: SQLite has no such settings."""

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
