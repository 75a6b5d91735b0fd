"""The messages of a group, page by page: of all histories the longest, read from whichever end is nearer.

The group's own row says how many messages it has, so that none are counted, and pages near the end, which is
where the newest are, need not pass by all that came before.
"""

from dataclasses import replace
from typing import NamedTuple

from imc_contracts.schema import GROUPS
from imc_contracts.views import MessagePage
from imc_service.database import Row, Session, Values

from imc_query_api.queries.history import MESSAGE_TABLE, History
from imc_query_api.queries.store import Store
from imc_query_api.queries.views import message_of, message_place
from imc_query_api.queries.window import Window

DEEP = 2_000
"""Passing by fewer rows than this costs less than to ask first which end is nearer."""

_ATTEMPTS = 3

# Null where the times leave messages out, or the group has none: then it has to be counted.
_KNOWN_TOTAL = (
    f"(SELECT message_total FROM {GROUPS} "  # noqa: S608 - the name of a table, no values
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
        """The page, counted back from the newest message; None if it is nearer to the oldest.

        Where the page lies as seen from the end depends on the total, and messages arrive between the
        statement that reads the total and the one that reads the page. The latter reads the total again, of
        the same moment as its rows: if they differ the rows are not the page, and it is sought anew.
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
