"""The events of an app between two log ids, read from the tables after the log was trimmed.

Each row has the log id of its creation (``log_id``) and, if it is retired, that of its recall or deletion
(``last_log_id``). So every event is found at its log id. A page may end anywhere, and the next one continues
there without loss or repetition, even while rows change. Rows of the Java version have no ``log_id``; only
their later recalls and deletions are found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from imc_contracts.cursor import EntryId
from imc_contracts.errors import unavailable
from imc_contracts.events import EventKind
from imc_contracts.log_changes import LogChange
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED, Notice
from imc_service.database.database import Row

from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE, NOTICE_TABLE, Table
from imc_query_api.queries.views import message_of, notice_of


@dataclass(frozen=True, slots=True)
class _Source:
    """The statement that finds one kind of event."""

    kind: EventKind
    sql: str
    view_of: Callable[[Row], Any]


class LogChanges:
    """Answers `imc_contracts.log_changes`."""

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self.sources = _sources(store) if store is not None else []

    async def page(
        self, app_id: str, after: EntryId, before: EntryId, limit: int, *, with_notices: bool
    ) -> list[LogChange]:
        """The first ``limit`` changes between the two log ids (exclusive), in order. Fewer are the last ones.

        The caller must know that everything before ``before`` is projected.
        Raises `Refused` (`UNAVAILABLE`).
        """
        if self._store is None:
            # A replica may lag, and events that it lacks would be missing without notice.
            raise unavailable("only a replica of the database is known here (IMC_DATABASE_URL is not set)")
        found: list[tuple[str, EventKind, Any]] = []
        bound = before.column
        async with self._store.session() as session:
            for source in self.sources:
                if source.kind.is_notice and not with_notices:
                    continue
                rows = await session.fetch_all(source.sql, (app_id, after.column, bound, limit))
                found += [(row[-1], source.kind, source.view_of(row[:-1])) for row in rows]
                if len(rows) == limit:
                    # All other events of the page precede the last of these.
                    bound = max(row[-1] for row in rows)
        found.sort(key=itemgetter(0))
        return [_change(*each) for each in found[:limit]]


def _sources(store: Store) -> list[_Source]:
    def source(kind: EventKind, table: Table[Any], index: str, view_of: Callable[[Row], Any]) -> _Source:
        retires = kind in (EventKind.MESSAGE_RECALLED, EventKind.NOTICE_DELETED)
        sql = read_sql(
            "log_changes.sql",
            columns=table.columns,
            key=table.key,
            table=table.name,
            indexed_table=store.through(table.name, index),
            log_id="last_log_id" if retires else "log_id",
            condition=f"app_id = ? AND status = {STATUS_RETIRED}" if retires else "app_id = ?",
        )
        return _Source(kind, sql, view_of)

    return [
        source(EventKind.MESSAGE_SENT, MESSAGE_TABLE, "imc_message_log", message_of),
        source(EventKind.MESSAGE_RECALLED, MESSAGE_TABLE, "imc_message_retired", message_of),
        source(EventKind.NOTICE_PUBLISHED, NOTICE_TABLE, "imc_notice_log", _as_published),
        source(EventKind.NOTICE_DELETED, NOTICE_TABLE, "imc_notice_retired", notice_of),
    ]


def _as_published(row: Row) -> Notice:
    """The notice as it was published. Its deletion is another event."""
    return {**notice_of(row), "deleteTime": 0, "status": STATUS_NORMAL}


def _change(column: str, kind: EventKind, view: Any) -> LogChange:
    return {"entryId": str(EntryId.from_column(column)), "kind": kind.value.decode(), "view": view}  # pyright: ignore[reportReturnType]
