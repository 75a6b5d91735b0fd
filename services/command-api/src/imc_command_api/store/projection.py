"""Applies entries of logs to the tables: in any order, repeatedly, and beside others that do the same."""

from collections.abc import Collection, Sequence
from typing import NamedTuple, TypeVar

from imc_contracts.events import Entry
from imc_service.database.database import Database, Refusal, Session, StatementRefused, StoreUnavailable

from imc_command_api.store.attempts import Attempts
from imc_command_api.store.changes import MessageRow, NoticeRow, Row, row_of
from imc_command_api.store.coalesce import gains_of, messages_of, notices_of
from imc_command_api.store.statements import TableStatements, statements

AnyRow = TypeVar("AnyRow", MessageRow, NoticeRow)

_ATTEMPTS = 10
_IDS_A_QUERY = 1000


class PlacedEntry(NamedTuple):
    """An entry and the app of its log."""

    app_id: str
    entry: Entry


class _Overtaken(Exception):
    """Rows that were taken to be new exist: another writer committed them, or they existed before."""


class Projection:
    """Writes the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = statements(is_sqlite=database.is_sqlite)
        self._attempts = Attempts()

    async def apply(self, entries: Sequence[PlacedEntry]) -> None:
        """Apply all ``entries`` in one transaction.

        They may be of several apps. Order and repetition change nothing: a recall is final even if its
        message comes later, and a message is counted once in its group. Limit a call to some thousand entries
        and some megabytes.

        Raises `MalformedEvent` before anything is written, `StoreUnavailable`, `StatementRefused`.
        """
        await self.apply_rows([row_of(placed.app_id, placed.entry) for placed in entries])

    async def apply_rows(self, rows: Sequence[Row]) -> None:
        """As `apply`, for rows that `row_of` has made."""
        messages, notices = messages_of(rows), notices_of(rows)
        keys = [*messages, *notices]
        with self._attempts.noted(keys[0] if len(keys) == 1 else None):
            for attempt in range(_ATTEMPTS):
                try:
                    async with self._database.transaction() as session:
                        new = await _write(session, self._statements.messages, messages, bool(attempt))
                        await _write(session, self._statements.notices, notices, bool(attempt))
                        await self._grow_groups(session, new)
                        return
                except _Overtaken:
                    continue
            # Other writers may have been faster each time. A single row that is neither found nor inserted
            # violates a unique index that is not ours.
            raise StatementRefused("another row has a value that must be unique", Refusal.DUPLICATE)

    async def trouble(self) -> str | None:
        """A readiness check: why rows can't be stored, in the database's words, or None.

        It runs the real statements on no row, unless attempts to store rows have told already.
        """
        if (trouble := self._attempts.trouble()) is not None:
            return trouble
        try:
            async with self._database.session() as session:
                for trial in self._statements.trials:
                    await session.execute(trial)
        except (StoreUnavailable, StatementRefused) as error:
            return str(error)
        return None

    async def _grow_groups(self, session: Session, new: Sequence[MessageRow]) -> None:
        grown = [
            (app_id, group_id, gain.total, newest_id, newest_time)
            for (app_id, group_id), gain in gains_of(new).items()
            for newest_time, newest_id in (gain.newest,)
        ]
        if grown:
            await session.execute_many(self._statements.grow_group, grown)


async def _write(
    session: Session, table: TableStatements, rows: dict[int, AnyRow], look_first: bool
) -> list[AnyRow]:
    """Insert new rows, and return them; merge the others into the rows that exist.

    Without ``look_first`` rows are taken to be new, as they nearly always are, except retired ones. If the
    server inserts fewer rows, `_Overtaken` is raised: the server does not tell which rows it inserted, and
    groups would be counted wrongly.
    """
    doubtful = [key for key, row in rows.items() if look_first or row.log_id is None]
    known = await _existing(session, table, doubtful)
    new = [row for key, row in rows.items() if key not in known]
    if new and await session.execute_many(table.insert, new) != len(new):
        raise _Overtaken
    if known:
        await session.execute_many(table.merge, [rows[key] for key in rows if key in known])
    return new


async def _existing(session: Session, table: TableStatements, keys: Sequence[int]) -> Collection[int]:
    found: set[int] = set()
    for start in range(0, len(keys), _IDS_A_QUERY):
        some = keys[start : start + _IDS_A_QUERY]
        sql = table.find.format(", ".join("?" * len(some)))
        found.update(row[0] for row in await session.fetch_all(sql, some))
    return found
