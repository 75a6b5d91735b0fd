"""The events of an app between two log ids, read from the tables after the log was trimmed.

Each row has the log id of its creation (``log_id``) and, if it is retired, that of its recall or deletion
(``last_log_id``). So every event is found at its log id. A page may end anywhere, and the next one continues
there without loss or repetition, even while rows change. Rows copied from the Java version have no
``log_id``; only their later recalls and deletions are found. Of rows that were removed the tables keep how
far their log ids went. Erasures have rows of their own; what they have erased is not found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from imc_contracts.cursor import EntryId
from imc_contracts.events import EventKind
from imc_contracts.log_changes import LogChange, LogChangesPage
from imc_contracts.schema import ERASURE_COLUMNS, ERASURES, PROJECTIONS, REMOVED_TO
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED, Erasure, Notice
from imc_service.database.database import Row

from imc_query_api.queries.listing import ListingReader, batches_of
from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE, NOTICE_TABLE, Table

_REMOVED_TO = f"SELECT {REMOVED_TO} FROM {PROJECTIONS} WHERE app_id = ?"  # noqa: S608 - names


class _Reader(Protocol):
    """Reads the rows of one table."""

    async def by_key(self, app_id: str, keys: Sequence[int]) -> dict[int, Any]:
        """The views of the rows with these ids that exist; raises `Refused` (`UNAVAILABLE`)."""
        ...


class _ErasureReader:
    """Implements `_Reader`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sql = read_sql(
            "rows_by_key.sql",
            columns=", ".join(f"m.{column}" for column in ERASURE_COLUMNS[:-1]),
            table=ERASURES,
            through_key=store.through_key,
            key=ERASURE_COLUMNS[0],
            keys="{}",
        )

    async def by_key(self, app_id: str, keys: Sequence[int]) -> dict[int, Erasure]:
        if not keys:
            return {}
        sql = self._sql.format(", ".join("?" * len(keys)))
        rows = await self._store.fetch_all(sql, (app_id, *keys))
        return {row[0]: _erasure_of(row) for row in rows}


@dataclass(frozen=True, slots=True)
class _Source:
    """Finds one kind of event."""

    kind: EventKind
    sql: str
    reader: _Reader
    """Reads the rows that the events are about."""

    shown: Callable[[Any], Any]
    """Makes the view of the event from the view of the row."""


class _EventWithoutView(NamedTuple):
    """An event whose view is not read yet."""

    log_id: str
    source: _Source
    key: int
    size: int
    """The bytes of its content."""


class LogChanges:
    """Answers `imc_contracts.log_changes`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sources = _sources(store)

    async def page(
        self,
        app_id: str,
        after: EntryId,
        before: EntryId,
        limit: int,
        *,
        with_notices: bool,
        with_erasures: bool = False,
    ) -> LogChangesPage:
        """The first changes between the two log ids (exclusive), in order.

        They are at most ``limit``, and as few as `batches_of` puts into a batch.
        The caller must know that everything before ``before`` is projected.
        Raises `Refused` (`UNAVAILABLE`).
        """
        wanted = [
            source
            for source in self.sources
            if (
                with_erasures
                if source.kind is EventKind.ERASURE
                else with_notices or not source.kind.is_notice
            )
        ]
        while True:
            found = await self._find(app_id, after, before, limit, wanted)
            shown = batches_of(found)[0] if found else []
            changes = await _changes(app_id, shown)
            is_last = len(shown) == len(found) < limit
            # Rows that were found and removed before they were read are not found again.
            if changes or is_last:
                return _page(changes, await self._removed_to(app_id), is_last=is_last)

    async def _removed_to(self, app_id: str) -> str | None:
        """Up to which log id changes may be missing. Ask after they were read: they may just be removed."""
        rows = await self._store.fetch_all(_REMOVED_TO, (app_id,))
        return rows[0][0] if rows else None

    async def _find(
        self, app_id: str, after: EntryId, before: EntryId, limit: int, wanted: Sequence[_Source]
    ) -> list[_EventWithoutView]:
        found: list[_EventWithoutView] = []
        bound = before.column
        async with self._store.session() as session:
            for source in wanted:
                rows = await session.fetch_all(source.sql, (app_id, after.column, bound, limit))
                found += [_EventWithoutView(log_id, source, key, size or 0) for key, size, log_id in rows]
                if len(rows) == limit:
                    # All other events of the page precede the last of these.
                    bound = max(row[-1] for row in rows)
        found.sort(key=lambda event: event.log_id)
        return found[:limit]


async def _changes(app_id: str, found: Sequence[_EventWithoutView]) -> list[LogChange]:
    """The changes, without those whose rows are gone."""
    readers = {event.source.reader for event in found}
    views = {
        reader: await reader.by_key(
            app_id, sorted({each.key for each in found if each.source.reader is reader})
        )
        for reader in readers
    }
    return [
        _change(event, views[event.source.reader][event.key])
        for event in found
        if event.key in views[event.source.reader]
    ]


def _sources(store: Store) -> list[_Source]:
    messages, notices = ListingReader(store, MESSAGE_TABLE), ListingReader(store, NOTICE_TABLE)

    def source(
        kind: EventKind,
        table: Table[Any],
        reader: ListingReader[Any],
        index: str,
        shown: Callable[[Any], Any] = _as_it_is,
    ) -> _Source:
        retires = kind in (EventKind.MESSAGE_RECALLED, EventKind.NOTICE_DELETED)
        sql = read_sql(
            "log_changes.sql",
            size=store.byte_length("m.content"),
            key=table.key,
            table=table.name,
            indexed_table=store.through(table.name, index),
            log_id="last_log_id" if retires else "log_id",
            condition=f"app_id = ? AND status = {STATUS_RETIRED}" if retires else "app_id = ?",
        )
        return _Source(kind, sql, reader, shown)

    erasures = read_sql(
        "log_changes.sql",
        size="0",
        key=ERASURE_COLUMNS[0],
        table=ERASURES,
        indexed_table=store.through(ERASURES, "imc_erasure_log"),
        log_id="log_id",
        condition="app_id = ?",
    )
    return [
        source(EventKind.MESSAGE_SENT, MESSAGE_TABLE, messages, "imc_message_log"),
        source(EventKind.MESSAGE_RECALLED, MESSAGE_TABLE, messages, "imc_message_retired"),
        source(EventKind.NOTICE_PUBLISHED, NOTICE_TABLE, notices, "imc_notice_log", _as_published),
        source(EventKind.NOTICE_DELETED, NOTICE_TABLE, notices, "imc_notice_retired"),
        _Source(EventKind.ERASURE, erasures, _ErasureReader(store), _as_it_is),
    ]


def _page(changes: list[LogChange], removed_to: str | None, *, is_last: bool) -> LogChangesPage:
    page: LogChangesPage = {"changes": changes, "isLast": is_last}
    if removed_to is not None:
        page["removedTo"] = str(EntryId.from_column(removed_to))
    return page


def _as_it_is(view: Any) -> Any:
    return view


def _as_published(notice: Notice) -> Notice:
    """The notice as it was published. Its deletion is another event."""
    return {**notice, "deleteTime": 0, "status": STATUS_NORMAL}


def _erasure_of(row: Row) -> Erasure:
    erasure_id, app_id, user_id, group_id, erase_time = row
    return {
        "erasureId": str(erasure_id),
        "appId": app_id,
        "userId": user_id,
        "groupId": group_id,
        "eraseTime": erase_time,
    }


def _change(event: _EventWithoutView, view: Any) -> LogChange:
    entry_id, kind = str(EntryId.from_column(event.log_id)), event.source.kind.value.decode()
    return {"entryId": entry_id, "kind": kind, "view": event.source.shown(view)}  # pyright: ignore[reportReturnType]
