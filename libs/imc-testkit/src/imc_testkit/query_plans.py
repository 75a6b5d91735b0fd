"""How a database carries out a statement: the indexes of its plan, and how many rows it touches.

MariaDB and SQLite tell this in ways of their own. Here both tell it alike.
"""

import contextlib
import re
import sqlite3
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from unittest import mock

PRIMARY = "PRIMARY"
"""The name of the index that is the primary key of a table."""

_STEPS_A_COUNT = 10
"""Steps of SQLite's machine for what MariaDB counts as one row.

SQLite passes a row by in three steps, and finds one in an index and in its table in about forty. MariaDB
counts these as one row and as three.
"""

_SEARCH = re.compile(
    r"(?P<how>SEARCH|SCAN) (?P<table>\w+)(?: USING (?P<covering>COVERING )?INDEX (?P<index>\w+))?"
)


@dataclass(frozen=True, slots=True)
class Step:
    """How a plan reads one table. What the statement itself has made in memory is no table."""

    table: str
    index: str | None
    seeks: bool
    """It reads a part of the index, which is found by values of its first columns."""

    covers: bool
    """It reads nothing besides the index."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The tables that a statement reads, and whether it sorts rows."""

    steps: Sequence[Step]
    sorts: bool


class AnyDatabase(Protocol):
    """A database of either kind."""

    is_sqlite: bool

    async def fetch_all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        """All rows of a SELECT."""
        ...


async def plan_of(database: AnyDatabase, sql: str, values: Sequence[Any]) -> Plan:
    """The plan of a statement."""
    if database.is_sqlite:
        return _sqlite_plan(await database.fetch_all(f"EXPLAIN QUERY PLAN {sql}", values))
    return _mariadb_plan(await database.fetch_all(f"EXPLAIN {sql}", values))


def _mariadb_plan(rows: Sequence[Sequence[Any]]) -> Plan:
    steps = [
        Step(str(table), key, kind in ("range", "ref", "eq_ref", "const"), "Using index" in (extra or ""))
        for _, _, table, kind, _, key, _, _, _, extra in rows
        if table is not None and not str(table).startswith("<")
    ]
    return Plan(steps, any("filesort" in (row[-1] or "") for row in rows))


def _sqlite_plan(rows: Sequence[Sequence[Any]]) -> Plan:
    details = [str(row[-1]) for row in rows]
    made = {name for how, _, name in (detail.partition(" ") for detail in details) if how == "CO-ROUTINE"}
    found = [match for detail in details if (match := _SEARCH.match(detail)) and match["table"] != "CONSTANT"]
    steps = [
        Step(
            match["table"],
            PRIMARY if (match["index"] or "").startswith("sqlite_autoindex_") else match["index"],
            match["how"] == "SEARCH",
            match["covering"] is not None,
        )
        for match in found
        if match["table"] not in made
    ]
    return Plan(steps, any("TEMP B-TREE" in detail for detail in details))


class TouchedRows:
    """Counts the rows that statements on a database touch."""

    def __init__(self, database: AnyDatabase) -> None:
        self._database = database
        self.steps = 0
        """Of SQLite's machine."""

    async def count(self) -> int:
        """The number of rows touched since the beginning: a row in an index, in a table and in memory counts
        thrice. On SQLite, which counts no rows, an estimate.
        """
        if self._database.is_sqlite:
            return self.steps // _STEPS_A_COUNT
        counters = await self._database.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in counters)


@contextlib.contextmanager
def touched_rows(database: AnyDatabase) -> Generator[TouchedRows]:
    """Count the rows that are touched on the only connection of ``database``, which is not made yet."""
    touched, connect = TouchedRows(database), sqlite3.connect

    def connect_and_count(*arguments: Any, **options: Any) -> sqlite3.Connection:
        def count() -> None:
            touched.steps += 1

        connection = connect(*arguments, **options)
        connection.set_progress_handler(count, 1)
        return connection

    with mock.patch.object(sqlite3, "connect", connect_and_count):
        yield touched
