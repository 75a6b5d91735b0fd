"""The SQL of the projection, in the dialect of SQLite or in that of MariaDB and MySQL.

What happens to a row that exists already is in ``sql/``. MySQL assigns columns from left to right, and each
assignment sees those before it. SQLite's see the row as it was. So a column that conditions read is assigned
last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from imc_contracts.schema import (
    ERASURE_COLUMNS,
    ERASURES,
    GROUP_COLUMNS,
    GROUPS,
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
    PROJECTION_COLUMNS,
    PROJECTIONS,
    REMOVED_TO,
)

_RETIRES = "status = 1 AND {new.status} = 0"
"""The condition under which a row is retired: {new.x} is column x of the row that was to be inserted."""


class _Mysql:
    """How MariaDB and MySQL name the row that was to be inserted."""

    def __getattr__(self, column: str) -> str:
        return f"VALUES({column})"


class _Sqlite:
    """How SQLite names it."""

    def __getattr__(self, column: str) -> str:
        return f"excluded.{column}"


def read_sql(file: str, **parts: object) -> str:
    """The SQL in ``file``, with each {name} in it replaced by the part of that name; never by input."""
    return files("imc_command_api.store").joinpath("sql", file).read_text("utf-8").format_map(parts)


def through(table: str, index: str, *, is_sqlite: bool) -> str:
    """``table`` as a FROM clause names it, to be read through ``index`` and no other way."""
    return f"{table} INDEXED BY {index}" if is_sqlite else f"{table} FORCE INDEX ({index})"


def with_ids(sql: str, count: int) -> str:
    """``sql`` with placeholders for ``count`` ids in the place of `{ids}`."""
    return sql.format(ids=", ".join("?" * count))


def _locking(table: str, key: str, *columns: str, is_sqlite: bool) -> str:
    """Select ``key`` and ``columns`` of some rows of an app, and lock the rows in the order of their keys.

    By the primary key: the optimizer may take another index for as good. SQLite has locked everything
    already.
    """
    return read_sql(
        "lock_rows.sql",
        columns=", ".join((key, *columns)),
        table=table if is_sqlite else f"{table} FORCE INDEX (PRIMARY)",
        key=key,
        locked="" if is_sqlite else "FOR UPDATE",
    )


@dataclass(frozen=True, slots=True)
class TableStatements:
    """The statements for the rows of one table."""

    find: str
    """Select and lock those ids of an app that exist; `{ids}` stands for their placeholders."""

    insert: str
    """Insert the rows that do not exist; the number of changed rows is the number that did not.

    Not INSERT IGNORE, which would also swallow every other error.
    """

    merge: str
    """Change rows that exist to what the new rows say. A row that is retired stays retired."""


@dataclass(frozen=True, slots=True)
class Statements:
    """All statements of one dialect."""

    messages: TableStatements
    notices: TableStatements
    grow_group: str
    advance_projection: str
    note_erasure: str
    """Insert an erasure; one that exists stays as it is, and so as far as it is."""

    find_erasures: str
    """Select the erasures of an app after a log id: the user, the group, and their own log id."""

    trials: tuple[str, ...]
    """Statements that change nothing. They fail if rights, columns or a read-only server prevent writing."""


def statements(*, is_sqlite: bool) -> Statements:
    """The statements of one dialect. Reads files, so call this when a process starts."""
    messages = _Upsert(MESSAGES, (*MESSAGE_VIEW_COLUMNS, *LOG_COLUMNS), ("app_id", "message_id"), is_sqlite)
    notices = _Upsert(NOTICES, (*NOTICE_VIEW_COLUMNS, *LOG_COLUMNS), ("app_id", "information_id"), is_sqlite)
    groups = _Upsert(GROUPS, GROUP_COLUMNS, ("app_id", "group_id"), is_sqlite)
    projections = _Upsert(PROJECTIONS, PROJECTION_COLUMNS, ("app_id",), is_sqlite)
    erasures = _Upsert(ERASURES, ERASURE_COLUMNS, ("app_id", "erasure_id"), is_sqlite)
    find_messages = _locking(MESSAGES, "message_id", is_sqlite=is_sqlite)
    find_notices = _locking(NOTICES, "information_id", is_sqlite=is_sqlite)
    return Statements(
        TableStatements(find_messages, messages.unless_exists(), messages.merging("merge_message.sql")),
        TableStatements(find_notices, notices.unless_exists(), notices.merging("merge_notice.sql")),
        groups.merging("grow_group.sql"),
        projections.merging("advance_projection.sql"),
        erasures.unless_exists(),
        f"SELECT user_id, group_id, log_id FROM {ERASURES} WHERE app_id = ? AND log_id > ?",  # noqa: S608
        trials=(
            *(find.replace("?", "NULL").format(ids="NULL") for find in (find_messages, find_notices)),
            messages.trial("merge_message.sql"),
            notices.trial("merge_notice.sql"),
            groups.trial("grow_group.sql"),
            projections.trial("advance_projection.sql"),
            erasures.trial(),
        ),
    )


@dataclass(frozen=True, slots=True)
class RemovalStatements:
    """The statements that remove rows; `{ids}` stands for placeholders of the keys that follow the app.

    Those that find rows lock them, as `TableStatements.find` does.
    """

    find_messages: str
    find_notices: str
    delete_messages: str
    delete_notices: str
    find_groups: str
    delete_groups: str
    find_newest: str
    """The newest message that is left of a group. Locks nothing: rows that others insert come later."""

    shrink_group: str
    mark: str


def removal_statements(*, is_sqlite: bool) -> RemovalStatements:
    """The statements of one dialect. Reads files, so call this when a process starts."""

    def delete(table: str, key: str) -> str:
        # A hint needs the form for several tables. Another index would lock the rows in another order.
        rows = f"FROM {table}" if is_sqlite else f"{table} FROM {table} FORCE INDEX (PRIMARY)"
        return f"DELETE {rows} WHERE app_id = ? AND {key} IN ({{ids}})"

    groups = _Upsert(GROUPS, GROUP_COLUMNS, ("app_id", "group_id"), is_sqlite)
    projections = _Upsert(PROJECTIONS, (*PROJECTION_COLUMNS, REMOVED_TO), ("app_id",), is_sqlite)
    return RemovalStatements(
        _locking(MESSAGES, "message_id", "group_id", *LOG_COLUMNS, is_sqlite=is_sqlite),
        _locking(NOTICES, "information_id", *LOG_COLUMNS, is_sqlite=is_sqlite),
        delete(MESSAGES, "message_id"),
        delete(NOTICES, "information_id"),
        _locking(GROUPS, *GROUP_COLUMNS[1:], is_sqlite=is_sqlite),
        delete(GROUPS, "group_id"),
        read_sql(
            "newest_message.sql", messages_by_time=through(MESSAGES, "imc_message_group", is_sqlite=is_sqlite)
        ),
        groups.merging("shrink_group.sql"),
        projections.merging("mark_removed.sql"),
    )


@dataclass(frozen=True, slots=True)
class _Upsert:
    """Makes the statements that insert a row of a table, or change the row with the same key."""

    table: str
    columns: Sequence[str]
    key: Sequence[str]
    is_sqlite: bool

    def unless_exists(self) -> str:
        """Insert a row; a row with its key stays as it is."""
        return f"{self._into} VALUES ({self._placeholders}) {self._on_conflict(self._no_change)}"

    def merging(self, file: str) -> str:
        """Insert a row, or change the row with its key as the ``file`` says."""
        return f"{self._into} VALUES ({self._placeholders}) {self._on_conflict(self._assignments(file))}"

    def trial(self, file: str | None = None) -> str:
        """`merging` of no row; without a ``file`` `unless_exists` of none."""
        source = "" if self.is_sqlite else "FROM DUAL "
        nulls = ", ".join("NULL" for _ in self.columns)
        on_conflict = self._on_conflict(self._no_change if file is None else self._assignments(file))
        return f"{self._into} SELECT {nulls} {source}WHERE 1 = 0 {on_conflict}"

    @property
    def _no_change(self) -> str:
        # A row that is set to what it was is not counted as changed.
        column = "status" if "status" in self.columns else self.columns[-1]
        return "NOTHING" if self.is_sqlite else f"{column} = {self.table}.{column}"

    @property
    def _into(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join(self.columns)})"

    @property
    def _placeholders(self) -> str:
        return ", ".join("?" for _ in self.columns)

    def _on_conflict(self, action: str) -> str:
        if not self.is_sqlite:
            return f"ON DUPLICATE KEY UPDATE {action}"
        do = action if action == "NOTHING" else f"UPDATE SET {action}"
        return f"ON CONFLICT ({', '.join(self.key)}) DO {do}"

    def _assignments(self, file: str) -> str:
        new = _Sqlite() if self.is_sqlite else _Mysql()
        return read_sql(file, new=new, retires=_RETIRES.format(new=new))
