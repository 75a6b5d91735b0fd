"""The SQL of the projection, in the dialect of SQLite or in that of MariaDB and MySQL.

What happens to a row that exists already is in ``sql/``. MySQL assigns columns from left to right, and each
assignment sees those before it. SQLite's see the row as it was. So a column that conditions read is assigned
last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from imc_contracts.schema import (
    GROUP_COLUMNS,
    GROUPS,
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)

_RETIRES = "app_id = {new.app_id} AND status = 1 AND {new.status} = 0"
"""The condition under which a row is retired: {new.x} is column x of the row that was to be inserted."""


class _Mysql:
    """How MariaDB and MySQL name the row that was to be inserted."""

    def __getattr__(self, column: str) -> str:
        return f"VALUES({column})"


class _Sqlite:
    """How SQLite names it."""

    def __getattr__(self, column: str) -> str:
        return f"excluded.{column}"


@dataclass(frozen=True, slots=True)
class TableStatements:
    """The statements for the rows of one table."""

    find: str
    """Select those ids that exist; `{}` stands for their placeholders."""

    insert: str
    """Insert the rows that do not exist; the number of changed rows is the number that did not.

    Not INSERT IGNORE, which would also swallow every other error.
    """

    merge: str
    """Change rows that exist to what the new rows say. A row that is retired stays retired."""

    trial: str
    """`merge` of no row. It fails if rights, columns or a read-only server prevent writing."""


@dataclass(frozen=True, slots=True)
class Statements:
    """All statements of one dialect."""

    messages: TableStatements
    notices: TableStatements
    grow_group: str
    grow_group_trial: str

    @property
    def trials(self) -> tuple[str, ...]:
        """Statements that succeed if rows can be written. They change nothing."""
        tables = (self.messages, self.notices)
        finds = (table.find.format("NULL") for table in tables)
        return (*finds, *(table.trial for table in tables), self.grow_group_trial)


def statements(*, is_sqlite: bool) -> Statements:
    """The statements of one dialect. Reads files, so call this when a process starts."""
    return Statements(
        _table(MESSAGES, (*MESSAGE_VIEW_COLUMNS, *LOG_COLUMNS), "merge_message.sql", is_sqlite),
        _table(NOTICES, (*NOTICE_VIEW_COLUMNS, *LOG_COLUMNS), "merge_notice.sql", is_sqlite),
        _upsert(GROUPS, GROUP_COLUMNS, "app_id, group_id", "grow_group.sql", is_sqlite),
        _trial(GROUPS, GROUP_COLUMNS, "app_id, group_id", "grow_group.sql", is_sqlite),
    )


def _table(name: str, columns: Sequence[str], merge: str, is_sqlite: bool) -> TableStatements:
    key = columns[0]
    return TableStatements(
        find=f"SELECT {key} FROM {name} WHERE {key} IN ({{}})",  # noqa: S608 - names and placeholders
        insert=_upsert(name, columns, key, None, is_sqlite),
        merge=_upsert(name, columns, key, merge, is_sqlite),
        trial=_trial(name, columns, key, merge, is_sqlite),
    )


def _upsert(name: str, columns: Sequence[str], key: str, merge: str | None, is_sqlite: bool) -> str:
    """Insert a row, or change the row with its key as the file ``merge`` says, if there is one."""
    placeholders = ", ".join("?" for _ in columns)
    return f"{_into(name, columns)} VALUES ({placeholders}) {_on_conflict(name, key, merge, is_sqlite)}"


def _trial(name: str, columns: Sequence[str], key: str, merge: str, is_sqlite: bool) -> str:
    """`_upsert` of no row."""
    source = "" if is_sqlite else "FROM DUAL "
    nulls = ", ".join("NULL" for _ in columns)
    on_conflict = _on_conflict(name, key, merge, is_sqlite)
    return f"{_into(name, columns)} SELECT {nulls} {source}WHERE 1 = 0 {on_conflict}"


def _into(name: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {name} ({', '.join(columns)})"


def _on_conflict(name: str, key: str, merge: str | None, is_sqlite: bool) -> str:
    if is_sqlite:
        action = "NOTHING" if merge is None else f"UPDATE SET {_assignments(merge, _Sqlite())}"
        return f"ON CONFLICT ({key}) DO {action}"
    # A row that is set to what it was is not counted as changed.
    action = f"{key} = {name}.{key}" if merge is None else _assignments(merge, _Mysql())
    return f"ON DUPLICATE KEY UPDATE {action}"


def _assignments(file: str, new: _Mysql | _Sqlite) -> str:
    text = files("imc_command_api.store").joinpath("sql", file).read_text("utf-8")
    return text.format(new=new, retires=_RETIRES.format(new=new))
