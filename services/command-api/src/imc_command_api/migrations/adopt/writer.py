"""Writes a chunk of rows into our tables, in a transaction, beside projectors that do the same."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from imc_contracts.schema import NOTICES
from imc_contracts.views import STATUS_RETIRED
from imc_service.database.database import Session

from imc_command_api.migrations.adopt.rows import AdoptedMessage, AdoptedRow, Key
from imc_command_api.migrations.adopt.tables import JavaTable
from imc_command_api.store.projection import lock_existing
from imc_command_api.store.statements import TableStatements, statements

_IDS_A_QUERY = 1_000


class Overtaken(Exception):
    """New rows exist, or known ones are gone. The transaction must be undone, and begin by looking."""


@dataclass
class Sorted:
    """What becomes of the rows of a chunk. Each is in one place, with its index in the chunk."""

    new: dict[Key, AdoptedRow] = field(default_factory=dict[Key, AdoptedRow])
    retiring: dict[Key, AdoptedRow] = field(default_factory=dict[Key, AdoptedRow])
    """Rows that exist, and are to be recalled or deleted."""

    same: int = 0
    differing: list[int] = field(default_factory=list[int])
    """The indexes of rows whose id is that of another row."""


def sort_rows(rows: Iterable[tuple[int, AdoptedRow]], existing: dict[Key, AdoptedRow]) -> Sorted:
    """Sort rows ``(index, row)`` by what becomes of each, beside those that exist.

    The first row of an id has it. One that is the same but retired retires it; a recall is final.
    """
    result = Sorted()
    for index, row in rows:
        key = row.key
        known = result.new.get(key) or existing.get(key)
        if known is None:
            result.new[key] = row
        elif not row.is_same(known):
            result.differing.append(index)
        else:
            result.same += 1
            if row.status == STATUS_RETIRED and known.status != STATUS_RETIRED:
                if key in result.new:
                    result.new[key] = row
                else:
                    result.retiring.setdefault(key, row)
    return result


class Writer:
    """Reads and writes our tables. Methods raise `StoreUnavailable` and `StatementRefused`."""

    def __init__(self, *, is_sqlite: bool) -> None:
        self._statements = statements(is_sqlite=is_sqlite)

    async def existing(
        self, session: Session, table: JavaTable, keys: Iterable[Key]
    ) -> dict[Key, AdoptedRow]:
        """Those rows that exist. No statement is about more than one app."""
        found: dict[Key, AdoptedRow] = {}
        id_column, *_ = table.columns
        select = f"SELECT {', '.join(table.columns)} FROM {table.target} WHERE app_id = ? AND {id_column} IN"  # noqa: S608 - names
        for app_id, keys_of_app in itertools.groupby(sorted(keys), itemgetter(0)):
            ids = [id_ for _, id_ in keys_of_app]
            for start in range(0, len(ids), _IDS_A_QUERY):
                some = ids[start : start + _IDS_A_QUERY]
                placeholders = ", ".join("?" * len(some))
                for values in await session.fetch_all(f"{select} ({placeholders})", (app_id, *some)):
                    row = table.row(*values)
                    found[row.key] = row
        return found

    async def write(self, session: Session, table: JavaTable, rows: Sorted) -> None:
        """Insert new rows, retire others, and let groups grow.

        Raises `Overtaken` if one that is to be retired is gone, or if not all rows were new: the server does
        not tell which were, and groups would be counted wrongly.
        """
        sql = self._of(table)
        # By key, and what exists before what is new, as in the projection: transactions that lock in the same
        # order do not deadlock.
        retiring = dict(sorted(rows.retiring.items(), key=itemgetter(0)))
        if retiring and len(await lock_existing(session, sql, [*retiring])) != len(retiring):
            raise Overtaken
        new = [row for _, row in sorted(rows.new.items(), key=itemgetter(0))]
        if new and await session.execute_many(sql.insert, new) != len(new):
            raise Overtaken
        if retiring:
            await session.execute_many(sql.merge, [*retiring.values()])
        grown = _grown(new)
        if grown:
            await session.execute_many(self._statements.grow_group, grown)

    def _of(self, table: JavaTable) -> TableStatements:
        return self._statements.notices if table.target == NOTICES else self._statements.messages


def _grown(new: Sequence[AdoptedRow]) -> list[tuple[str, str, int, int, int]]:
    """What new messages add to groups, as rows of the table of groups, in the order of their keys."""
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in new:
        if isinstance(row, AdoptedMessage):
            place = (row.create_time, row.message_id)
            groups.setdefault((row.app_id, row.group_id), []).append(place)
    return [
        (app_id, group_id, len(places), newest_id, newest_time)
        for (app_id, group_id), places in sorted(groups.items())
        for newest_time, newest_id in (max(places),)
    ]
