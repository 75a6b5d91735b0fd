"""Applies entries of logs to the tables: in any order, repeatedly, and beside others that do the same."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from imc_contracts.events import Entry
from imc_service.database.database import Database, Refusal, Session, StatementRefused, StoreUnavailable

from imc_command_api.store.attempts import Attempts
from imc_command_api.store.changes import MessageRow, NoticeRow, Row, row_of
from imc_command_api.store.coalesce import Key, erasures_of, gains_of, messages_of, notices_of
from imc_command_api.store.statements import TableStatements, statements, with_ids

AnyRow = TypeVar("AnyRow", MessageRow, NoticeRow)

Position = tuple[str, str]
"""A position in a log: its epoch, and the id of the entry as `imc_contracts.cursor.EntryId.column`."""

_ATTEMPTS = 10
_IDS_A_QUERY = 1000


class PlacedEntry(NamedTuple):
    """An entry and the app of its log."""

    app_id: str
    entry: Entry


_NO_POSITIONS: Mapping[str, Position] = MappingProxyType({})


class _Overtaken(Exception):
    """Rows that were taken to be new exist: another writer committed them, or they existed before."""


class Projection:
    """Writes the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._statements = statements(is_sqlite=database.is_sqlite)
        self._attempts = Attempts()

    async def apply(self, entries: Sequence[PlacedEntry], late: Collection[str] = ()) -> None:
        """Apply all ``entries`` in one transaction.

        They may be of several apps. Order and repetition change nothing: a recall is final even if its
        message comes later, and a message is counted once in its group. Limit a call to some thousand entries
        and some megabytes.

        Raises `MalformedEvent` before anything is written, `StoreUnavailable`, `StatementRefused`.
        """
        await self.apply_rows([row_of(placed.app_id, placed.entry) for placed in entries], late=late)

    async def apply_rows(
        self,
        rows: Sequence[Row],
        positions: Mapping[str, Position] = _NO_POSITIONS,
        late: Collection[str] = (),
    ) -> None:
        """As `apply`, for rows that `row_of` has made.

        ``positions`` has, by app id, the position up to which the database has the app's log once these rows
        are in it. They are written in the same transaction. One that is behind the position that the database
        has changes nothing.

        ``late`` are the apps whose entries may come late: others may have applied them already, and they may
        be erased since. A row that an erasure after it concerns is changed then, never made again.
        """
        messages, notices, erasures = messages_of(rows), notices_of(rows), erasures_of(rows)
        keys = [*messages, *notices, *erasures]
        with self._attempts.noted(keys[0] if len(keys) == 1 else None):
            for attempt in range(_ATTEMPTS):

                async def write(session: Session, *, look_first: bool = attempt > 0) -> None:
                    rows_now = [*messages.values(), *notices.values()] if late else []
                    erased = await self._erased(session, rows_now, late)
                    new = await _write(session, self._statements.messages, messages, look_first, erased)
                    await _write(session, self._statements.notices, notices, look_first, erased)
                    await self._grow_groups(session, new)
                    if erasures:
                        await session.execute_many(self._statements.note_erasure, [*erasures.values()])
                    await self._advance(session, positions)

                try:
                    return await self._database.commit(write)
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

    async def _erased(
        self, session: Session, rows: Sequence[MessageRow | NoticeRow], late: Collection[str]
    ) -> set[Key]:
        """The keys of rows of late apps that were erased after they were made."""
        erased: set[Key] = set()
        for app_id in sorted(late):
            own = [row for row in rows if row.app_id == app_id]
            if not own:
                continue
            first = min(map(_made_at, own))
            for user_id, group_id, log_id in await session.fetch_all(
                self._statements.find_erasures, (app_id, first)
            ):
                erased.update(
                    (app_id, row[0])
                    for row in own
                    if _made_at(row) < log_id
                    and user_id in (None, row.user_id)
                    and group_id in (None, row.group_id)
                )
        return erased

    async def _grow_groups(self, session: Session, new: Sequence[MessageRow]) -> None:
        grown = [
            (app_id, group_id, gain.total, newest_id, newest_time)
            for (app_id, group_id), gain in gains_of(new).items()
            for newest_time, newest_id in (gain.newest,)
        ]
        if grown:
            await session.execute_many(self._statements.grow_group, grown)

    async def _advance(self, session: Session, positions: Mapping[str, Position]) -> None:
        if positions:
            advanced = [(app_id, *position) for app_id, position in sorted(positions.items())]
            await session.execute_many(self._statements.advance_projection, advanced)


async def _write(
    session: Session,
    table: TableStatements,
    rows: dict[Key, AnyRow],
    look_first: bool,
    erased: Collection[Key],
) -> list[AnyRow]:
    """Insert new rows, and return them; merge the others into the rows that exist.

    Without ``look_first`` rows are taken to be new, as they nearly always are, except retired ones. If the
    server inserts fewer rows, `_Overtaken` is raised: the server does not tell which rows it inserted, and
    groups would be counted wrongly. Rows that are ``erased`` are not inserted.
    """
    doubtful = [key for key, row in rows.items() if look_first or row.log_id is None or key in erased]
    known = await lock_existing(session, table, doubtful)
    new = [row for key, row in rows.items() if key not in known and key not in erased]
    if new and await session.execute_many(table.insert, new) != len(new):
        raise _Overtaken
    if known:
        await session.execute_many(table.merge, [rows[key] for key in rows if key in known])
    return new


async def lock_existing(session: Session, table: TableStatements, keys: Sequence[Key]) -> Collection[Key]:
    """Lock the rows of ``keys``, which are sorted, until the transaction ends; returns which there are.

    A row that is removed between the look and `TableStatements.merge` would come back, and its group would
    not count it. No statement is about more than one app.
    """
    found: set[Key] = set()
    for app_id, keys_of_app in itertools.groupby(keys, itemgetter(0)):
        ids = [id_ for _, id_ in keys_of_app]
        for start in range(0, len(ids), _IDS_A_QUERY):
            some = ids[start : start + _IDS_A_QUERY]
            rows = await session.fetch_all(with_ids(table.find, len(some)), (app_id, *some))
            found.update((app_id, row[0]) for row in rows)
    return found


def _made_at(row: MessageRow | NoticeRow) -> str:
    """The log id of the entry that made the row, as far as ``row`` tells it."""
    return row.log_id or row.last_log_id
