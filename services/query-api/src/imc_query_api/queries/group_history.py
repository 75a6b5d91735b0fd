"""Numbered pages of the messages of a group, the longest kind of history, read from the nearer end.

The row of the group has the number of its messages, so that they need not be counted. Pages near the end,
where the newest messages are, are read backwards, so that they skip few rows.
"""

from dataclasses import replace
from typing import NamedTuple

from imc_contracts.schema import GROUPS
from imc_contracts.views import Message
from imc_service.database.database import Row, Session, Values

from imc_query_api.queries.numbered_pages import NumberedPage, NumberedPages
from imc_query_api.queries.selection import Owner, Times, Window
from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE

DEEP = 2_000
"""From this offset on the total is read first. Skipping fewer rows costs less than that query."""

_ATTEMPTS = 3
_COLUMNS = ("app_id", "group_id")


class _RowsAndTotal(NamedTuple):
    rows: list[Row]
    total: int | None


class GroupHistory:
    """Reads numbered pages of the messages of a group, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Null if the times exclude messages, or the group has none: then the messages are counted.
        known_total = read_sql("known_total.sql", groups=GROUPS)
        self._known_total_sql = f"SELECT {known_total}"
        self._oldest_first = NumberedPages(store, MESSAGE_TABLE, _COLUMNS, beside=known_total)
        self._newest_first = NumberedPages(
            store, MESSAGE_TABLE, _COLUMNS, newest_first=True, beside=known_total
        )

    async def page(self, owner: Owner, window: Window) -> NumberedPage[Message]:
        """The page, oldest first; raises `Refused` (`UNAVAILABLE`)."""
        async with self._store.session() as session:
            rows, total = await self._read(session, owner, window)
            if total is None:
                total = await self._oldest_first.total(session, owner, window, len(rows))
        reader = self._oldest_first.reader
        return NumberedPage(await reader.listing(owner.app_id, rows, window.size), total)

    async def total(self, session: Session, owner: Owner, times: Times) -> int:
        """The number of messages of the group between the times."""
        known = await self._known_total(session, _known(owner, times))
        return await self._oldest_first.count(session, owner, times) if known is None else known

    async def _read(self, session: Session, owner: Owner, window: Window) -> _RowsAndTotal:
        known = _known(owner, window.times)
        if window.size == 0:
            return _RowsAndTotal([], await self._known_total(session, known))
        if window.offset >= DEEP:
            found = await self._read_from_end(session, owner, window, known)
            if found is not None:
                return found
        return _with_total(await self._oldest_first.rows(session, owner, window, known))

    async def _read_from_end(
        self, session: Session, owner: Owner, window: Window, known: Values
    ) -> _RowsAndTotal | None:
        """The page, read backwards from the newest message; None if it is nearer to the oldest.

        The offset from the end depends on the total, and messages may arrive between the statement that
        reads the total and the one that reads the page. The second statement reads the total again, in the
        same snapshot as its rows. If it has changed, the rows are not the page, and the read is repeated.
        """
        total = await self._known_total(session, known)
        for _ in range(_ATTEMPTS):
            if total is None or window.offset * 2 <= total:
                return None
            size = min(window.size, total - window.offset)
            if size <= 0:
                return _RowsAndTotal([], total)
            mirrored = replace(window, size=size, offset=total - window.offset - size)
            rows = await self._newest_first.rows(session, owner, mirrored, known, most=window.size)
            found = _with_total(rows)
            if found.total == total:
                return found
            total = found.total
        return None

    async def _known_total(self, session: Session, known: Values) -> int | None:
        return (await session.fetch_all(self._known_total_sql, known))[0][0]


def _known(owner: Owner, times: Times) -> Values:
    return (*owner.values, times.end, times.start)


def _with_total(rows: list[Row]) -> _RowsAndTotal:
    return _RowsAndTotal(rows, rows[0][-1] if rows else None)
