"""Pages of the messages of a group, the longest kind of history, read from the nearer end.

The row of the group has the number of its messages, so that they need not be counted. Pages near the end,
where the newest messages are, are read backwards, so that they skip few rows.
"""

from dataclasses import replace
from typing import NamedTuple

from imc_contracts.schema import GROUPS
from imc_contracts.views import MessagePage
from imc_service.database.database import Row, Session, Values

from imc_query_api.queries.history import MESSAGE_TABLE, History
from imc_query_api.queries.store import Store
from imc_query_api.queries.views import message_of, message_place
from imc_query_api.queries.window import Window

DEEP = 2_000
"""From this offset on the total is read first. Skipping fewer rows costs less than that query."""

_ATTEMPTS = 3

# Null if the times exclude messages, or the group has none: then the messages are counted.
_KNOWN_TOTAL = (
    f"(SELECT message_total FROM {GROUPS} "  # noqa: S608 - a table name, no values
    "WHERE app_id = ? AND group_id = ? AND newest_create_time < ? AND ? = 0)"
)
_OWNER, _INDEX = ("app_id", "group_id"), "imc_message_group"


class _Page(NamedTuple):
    rows: list[Row]
    total: int | None


class GroupHistory:
    """Answers ``/chat/message/findByGroupId``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._oldest_first = History(store, MESSAGE_TABLE, _OWNER, _INDEX, beside=_KNOWN_TOTAL)
        self._newest_first = History(
            store, MESSAGE_TABLE, _OWNER, _INDEX, beside=_KNOWN_TOTAL, newest_first=True
        )

    async def page(self, app_id: str, group_id: str, window: Window) -> MessagePage:
        """The messages of the group, oldest first; raises `Refused` (`UNAVAILABLE`)."""
        owner = (app_id, group_id)
        async with self._store.session() as session:
            rows, total = await self._read(session, owner, window)
            if total is None:
                total = await self._oldest_first.total(session, owner, window, len(rows))
        rows.sort(key=message_place)
        return {
            "total": total if window.with_total else None,
            "pageMessageList": [message_of(row) for row in rows],
        }

    async def _read(self, session: Session, owner: Values, window: Window) -> _Page:
        known = (*owner, window.end, window.start)
        if window.offset >= DEEP:
            page = await self._read_from_end(session, owner, window, known)
            if page is not None:
                return page
        return _with_total(await self._oldest_first.rows(session, owner, window, known))

    async def _read_from_end(
        self, session: Session, owner: Values, window: Window, known: Values
    ) -> _Page | None:
        """The page, read backwards from the newest message; None if it is nearer to the oldest.

        The offset from the end depends on the total, and messages may arrive between the statement that
        reads the total and the one that reads the page. The second statement reads the total again, in the
        same snapshot as its rows. If it has changed, the rows are not the page, and the read is repeated.
        """
        total = (await session.fetch_all(f"SELECT {_KNOWN_TOTAL}", known))[0][0]
        for _ in range(_ATTEMPTS):
            if total is None or window.offset * 2 <= total:
                return None
            size = min(window.size, total - window.offset)
            if size <= 0:
                return _Page([], total)
            mirrored = replace(window, size=size, offset=total - window.offset - size)
            page = _with_total(await self._newest_first.rows(session, owner, mirrored, known))
            if page.total == total:
                return page
            total = page.total
        return None


def _with_total(rows: list[Row]) -> _Page:
    return _Page(rows, rows[0][-1] if rows else None)
