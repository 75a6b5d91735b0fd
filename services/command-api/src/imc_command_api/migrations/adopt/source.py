"""Reads the tables of the Java version; nothing is written there, which the session says to the server."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

from imc_contracts.fields import INT64_MAX
from imc_service.database.database import Database, Session

from imc_command_api.migrations.adopt.tables import JavaTable

BEFORE_ALL = -INT64_MAX - 1
"""Less than the ``id`` of any row."""

_READ_ONLY = "SET SESSION TRANSACTION READ ONLY"
_CHUNK_ROWS = 2_000
_CHUNK_BYTES = 4 << 20


class JavaRow(NamedTuple):
    """A row as it is there: its ``id``, and the values of `JavaTable.columns`."""

    id: int
    values: Sequence[Any]


class JavaDatabase:
    """The database of the Java version. All methods raise `StoreUnavailable` and `StatementRefused`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self, table: JavaTable) -> None:
        """Raises if the table can't be read, or lacks a column."""
        await self._fetch(f"SELECT id, {', '.join(table.columns)} FROM {table.name} WHERE 1 = 0")  # noqa: S608 - names

    async def bounds(self, table: JavaTable) -> tuple[int, int] | None:
        """The least and the greatest ``id``, or None if the table is empty."""
        [(least, greatest)] = await self._fetch(f"SELECT MIN(id), MAX(id) FROM {table.name}")  # noqa: S608 - names
        return None if least is None else (least, greatest)

    async def count(self, table: JavaTable, up_to: int) -> int:
        """How many rows there are up to an ``id``; reads the whole table."""
        [(number,)] = await self._fetch(f"SELECT COUNT(*) FROM {table.name} WHERE id <= ?", (up_to,))  # noqa: S608 - names
        return number

    async def chunk(self, table: JavaTable, after: int, up_to: int) -> list[JavaRow]:
        """The next rows after an ``id``, ordered by it: as many as fit into memory; [] at the end."""
        return await self._chunk(table, "id > ? AND id <= ?", after, up_to)

    async def retired(self, table: JavaTable, after: int, up_to: int) -> list[JavaRow]:
        """As `chunk`, of recalled or deleted rows alone."""
        return await self._chunk(table, "id > ? AND id <= ? AND status = 0", after, up_to)

    async def rows(self, table: JavaTable, ids: Sequence[int]) -> list[JavaRow]:
        """The rows with these ids, at most those of a chunk."""
        placeholders = ", ".join("?" * len(ids))
        return await self._rows(table, f"id IN ({placeholders})", ids)

    async def _chunk(self, table: JavaTable, condition: str, after: int, up_to: int) -> list[JavaRow]:
        size = " + ".join(f"COALESCE(OCTET_LENGTH({column}), 0)" for column in table.long_columns)
        sql = f"SELECT id, {size} FROM {table.name} WHERE {condition} ORDER BY id LIMIT ?"  # noqa: S608 - names
        sizes = await self._fetch(sql, (after, up_to, _CHUNK_ROWS))
        return await self._rows(table, condition, (after, _last_that_fits(sizes))) if sizes else []

    async def _rows(self, table: JavaTable, condition: str, values: Sequence[int]) -> list[JavaRow]:
        sql = f"SELECT id, {{}} FROM {table.name} WHERE {condition} ORDER BY id"  # noqa: S608 - names
        try:
            rows = await self._fetch(sql.format(", ".join(table.columns)), values)
        except UnicodeDecodeError:
            # MariaDB takes surrogates for characters of utf8mb3, and sends them in what it calls utf8mb4.
            columns = (
                column if column in table.numbers else f"CAST(CONVERT({column} USING utf8mb4) AS BINARY)"
                for column in table.columns
            )
            rows = await self._fetch(sql.format(", ".join(columns)), values)
        return [JavaRow(row[0], [_text_if_it_is(value) for value in row[1:]]) for row in rows]

    async def _fetch(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        async with self._reading() as session:
            return await session.fetch_all(sql, values)

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Session]:
        async with self._database.session() as session:
            await session.execute(_READ_ONLY)
            yield session


def _text_if_it_is(value: Any) -> Any:
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return value


def _last_that_fits(sizes: Sequence[tuple[Any, ...]]) -> int:
    """The ``id`` up to which rows of ``(id, bytes)`` fit into a chunk; at least one does."""
    total = 0
    last = sizes[0][0]
    for id_, size in sizes:
        total += size
        if total > _CHUNK_BYTES:
            break
        last = id_
    return last
