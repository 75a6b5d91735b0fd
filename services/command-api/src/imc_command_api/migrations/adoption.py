"""Tables that the Java version made become ours in place: every row stays, and no row changes its meaning.

All that can go wrong is looked for before anything is changed. Each table is then changed by one statement,
which the server carries out as a whole or not at all.
"""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from imc_contracts.fields import INT64_MAX, MAX_CONTENT_BYTES
from imc_contracts.schema import MESSAGES
from sqlalchemy.schema import CreateColumn

from imc_command_api.migrations.upgrade import MigrationError

_SHOWN = 10
_BLANK_RECALLED = f"UPDATE {MESSAGES} SET content = '' WHERE status = 0 AND content <> ''"  # noqa: S608
_WHOLE_NUMBER = "'^-?[0-9]{1,19}$'"


def check_adoptable(connection: sa.Connection, tables: Sequence[sa.Table]) -> None:
    """Raise `MigrationError` with everything that stands in the way; changes nothing."""
    faults = [fault for table in tables for fault in _faults(connection, table)]
    if faults:
        raise MigrationError("the tables that are there can't be adopted:\n  " + "\n  ".join(faults))


def adopt(connection: sa.Connection, table: sa.Table) -> None:
    """Give the table there our types, character set, columns, primary key and indexes; repeatable."""
    there = _columns(connection, table.name)
    _fill_nulls(connection, table, there)
    changes = ["DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "ENGINE = InnoDB", "ROW_FORMAT = DYNAMIC"]
    for column in table.columns:
        verb = "MODIFY" if column.name in there else "ADD"
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        changes.append(f"{verb} COLUMN {definition}")
    if not _primary_key(connection, table.name):
        changes.append(f"ADD PRIMARY KEY ({_id(table)})")
    present = {index["name"] for index in sa.inspect(connection).get_indexes(table.name)}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.name not in present:
            changes.append(f"ADD INDEX {index.name} ({', '.join(column.name for column in index.columns)})")
    connection.exec_driver_sql(f"ALTER TABLE {table.name} {', '.join(changes)}")
    if table.name == MESSAGES:
        # The Java version left the content of recalled messages readable.
        connection.exec_driver_sql(_BLANK_RECALLED)


def _faults(connection: sa.Connection, table: sa.Table) -> Iterator[str]:
    there = _columns(connection, table.name)
    key = _id(table)
    if key not in there:
        yield f"{table.name} has no column {key}"
        return
    if _primary_key(connection, table.name) not in ([], [key]):
        yield f"{table.name} has a primary key other than {key}"
    number = f"CAST({key} AS CHAR)"
    unsound = f"{key} IS NULL OR {number} NOT REGEXP '^[0-9]{{1,19}}$' OR CAST({number} AS DECIMAL(20)) NOT"
    wrong = _sample(connection, table, number, f"{unsound} BETWEEN 1 AND {INT64_MAX}")
    if wrong:
        yield f"{table.name}.{key} holds what is no id: {wrong}"
    repeated = _sample(connection, table, f"CAST({number} AS DECIMAL(20)) AS id", "TRUE", repeated=True)
    if repeated:
        yield f"{table.name} has several rows with the same {key}: {repeated}"
    for column in table.columns:
        if column.name in there and column.name != key:
            yield from _column_faults(connection, table, column)


def _column_faults(connection: sa.Connection, table: sa.Table, column: sa.Column[object]) -> Iterator[str]:
    key, name = _id(table), column.name
    if isinstance(column.type, sa.Text):
        too_long = f"LENGTH(CONVERT({name} USING utf8mb4)) > {MAX_CONTENT_BYTES}"
    elif isinstance(column.type, sa.String):
        too_long = f"CHAR_LENGTH({name}) > {column.type.length}"
    else:
        wrong = _sample(connection, table, key, f"CAST({name} AS CHAR) NOT REGEXP {_WHOLE_NUMBER}")
        if wrong:
            yield f"{table.name}.{name} holds what is no whole number, where {key} is: {wrong}"
        return
    wrong = _sample(connection, table, key, too_long)
    if wrong:
        yield f"{table.name}.{name} holds texts over the bound, where {key} is: {wrong}"


def _sample(
    connection: sa.Connection, table: sa.Table, shown: str, condition: str, *, repeated: bool = False
) -> str:
    grouped = "GROUP BY 1 HAVING COUNT(*) > 1" if repeated else ""
    rows = connection.exec_driver_sql(
        f"SELECT {shown} FROM {table.name} WHERE {condition} {grouped} LIMIT {_SHOWN}"  # noqa: S608 - no values
    )
    return ", ".join("null" if row[0] is None else str(row[0]) for row in rows)


def _fill_nulls(connection: sa.Connection, table: sa.Table, there: dict[str, bool]) -> None:
    nullable = [column for column in table.columns if not column.nullable and there.get(column.name)]
    if not nullable:
        return
    filled = ", ".join(f"{column.name} = COALESCE({column.name}, {_blank(column)})" for column in nullable)
    empty = " OR ".join(f"{column.name} IS NULL" for column in nullable)
    connection.exec_driver_sql(f"UPDATE {table.name} SET {filled} WHERE {empty}")  # noqa: S608 - no values


def _blank(column: sa.Column[object]) -> str:
    if isinstance(column.server_default, sa.DefaultClause):
        return str(column.server_default.arg)
    return "''" if isinstance(column.type, sa.String) else "0"


def _columns(connection: sa.Connection, name: str) -> dict[str, bool]:
    """The columns there, each with whether it takes NULL."""
    return {column["name"]: column["nullable"] for column in sa.inspect(connection).get_columns(name)}


def _primary_key(connection: sa.Connection, name: str) -> list[str]:
    return list(sa.inspect(connection).get_pk_constraint(name)["constrained_columns"])


def _id(table: sa.Table) -> str:
    return table.primary_key.columns[0].name
