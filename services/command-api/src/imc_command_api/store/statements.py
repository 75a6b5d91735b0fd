"""The projection's SQL: one text each, but for the words in which dialects differ."""

from collections.abc import Sequence
from dataclasses import dataclass

from imc_contracts.schema import (
    GROUP_COLUMNS,
    GROUPS,
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)

# MySQL assigns from left to right and each assignment sees the ones before it, while SQLite's all see the row
# as it was: what a condition reads is therefore assigned last. {new.x} is the row that was to be inserted.
_RETIRES = "app_id = {new.app_id} AND status = 1 AND {new.status} = 0"
_PLACES = """
    log_id = CASE WHEN app_id = {new.app_id} THEN COALESCE(log_id, {new.log_id}) ELSE log_id END,
    last_log_id = CASE
        WHEN app_id = {new.app_id} AND (last_log_id IS NULL OR last_log_id < {new.last_log_id})
        THEN {new.last_log_id} ELSE last_log_id END"""
_MERGE_MESSAGE = f"""
    content = CASE WHEN {_RETIRES} THEN '' ELSE content END,
    recall_time = CASE WHEN {_RETIRES} THEN {{new.recall_time}} ELSE recall_time END,
    recall_cause = CASE WHEN {_RETIRES} THEN {{new.recall_cause}} ELSE recall_cause END,
    status = CASE WHEN {_RETIRES} THEN 0 ELSE status END,{_PLACES}"""
_MERGE_NOTICE = f"""
    delete_time = CASE WHEN {_RETIRES} THEN {{new.delete_time}} ELSE delete_time END,
    status = CASE WHEN {_RETIRES} THEN 0 ELSE status END,{_PLACES}"""
_GROW_GROUP = """
    message_total = message_total + {new.message_total},
    newest_message_id = CASE
        WHEN (newest_create_time, newest_message_id) < ({new.newest_create_time}, {new.newest_message_id})
        THEN {new.newest_message_id} ELSE newest_message_id END,
    newest_create_time = CASE
        WHEN newest_create_time < {new.newest_create_time}
        THEN {new.newest_create_time} ELSE newest_create_time END"""


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
    """What is done to the rows of one table."""

    find: str
    """Which of the ids exist; `{}` stands for their placeholders."""

    insert: str
    """Insert the rows that do not exist; the number of changed rows is the number that did not.

    Not INSERT IGNORE, which would also swallow every other error.
    """

    merge: str
    """Bring rows that exist up to what the new rows say; nothing already said is taken back."""

    trial: str
    """`merge` of no row: fails where a row could not be written, by rights, columns or a read-only server."""


@dataclass(frozen=True, slots=True)
class Statements:
    """All statements of one dialect."""

    messages: TableStatements
    notices: TableStatements
    grow_group: str
    grow_group_trial: str

    @property
    def trials(self) -> tuple[str, ...]:
        """What has to succeed for rows to be written; none of them changes anything."""
        tables = (self.messages, self.notices)
        finds = (table.find.format("NULL") for table in tables)
        return (*finds, *(table.trial for table in tables), self.grow_group_trial)


def statements(*, is_sqlite: bool) -> Statements:
    """The statements in SQLite's dialect, or in the one of MariaDB and MySQL."""
    return Statements(
        _table(MESSAGES, (*MESSAGE_VIEW_COLUMNS, *LOG_COLUMNS), _MERGE_MESSAGE, is_sqlite),
        _table(NOTICES, (*NOTICE_VIEW_COLUMNS, *LOG_COLUMNS), _MERGE_NOTICE, is_sqlite),
        _upsert(GROUPS, GROUP_COLUMNS, "app_id, group_id", _GROW_GROUP, is_sqlite),
        _trial(GROUPS, GROUP_COLUMNS, "app_id, group_id", _GROW_GROUP, is_sqlite),
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
    """Insert a row, or do ``merge`` to the one that has its key (nothing, if that is None)."""
    places = ", ".join("?" for _ in columns)
    return f"{_into(name, columns)} VALUES ({places}) {_on_conflict(name, key, merge, is_sqlite)}"


def _trial(name: str, columns: Sequence[str], key: str, merge: str, is_sqlite: bool) -> str:
    """The same for no row at all."""
    source = "" if is_sqlite else "FROM DUAL "
    nulls = ", ".join("NULL" for _ in columns)
    on_conflict = _on_conflict(name, key, merge, is_sqlite)
    return f"{_into(name, columns)} SELECT {nulls} {source}WHERE 1 = 0 {on_conflict}"


def _into(name: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {name} ({', '.join(columns)})"


def _on_conflict(name: str, key: str, merge: str | None, is_sqlite: bool) -> str:
    if is_sqlite:
        action = "NOTHING" if merge is None else f"UPDATE SET {merge.format(new=_Sqlite())}"
        return f"ON CONFLICT ({key}) DO {action}"
    # A row that is set to what it was is not counted as changed.
    action = f"{key} = {name}.{key}" if merge is None else merge.format(new=_Mysql())
    return f"ON DUPLICATE KEY UPDATE {action}"
