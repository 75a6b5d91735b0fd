"""Notices of a group, of a user, or of a user in a group, by number and by id, newest first."""

from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED, Notice
from imc_service.database.database import Row

from imc_query_api.queries.keyset_pages import Anchors, KeysetPage, KeysetPages, cut
from imc_query_api.queries.numbered_pages import NumberedPage, NumberedPages
from imc_query_api.queries.selection import Keyset, Owner, Window
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import NOTICE_TABLE

SHOWN, DELETED = f"status = {STATUS_NORMAL}", f"status = {STATUS_RETIRED}"


class Notices:
    """Lists notices newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        columns = NOTICE_TABLE.indexes.keys()
        self._by_number = {
            each: NumberedPages(store, NOTICE_TABLE, each, newest_first=True, condition=SHOWN)
            for each in columns
        }
        self._shown = {each: KeysetPages(store, NOTICE_TABLE, each, SHOWN) for each in columns}
        self._deleted = {each: KeysetPages(store, NOTICE_TABLE, each, DELETED) for each in columns}
        self._anchors = Anchors(NOTICE_TABLE)

    async def numbered_page(self, owner: Owner, window: Window) -> NumberedPage[Notice]:
        """The page with this offset and size, without deleted notices; raises `Refused` (`UNAVAILABLE`)."""
        pages = self._by_number[owner.columns]
        async with self._store.session() as session:
            rows, total = await pages.read(session, owner, window)
        return NumberedPage(await pages.reader.listing(owner.app_id, rows, window.size), total)

    async def keyset_page(self, owner: Owner, keyset: Keyset, *, with_deleted: bool) -> KeysetPage[Notice]:
        """The page next to a notice, deleted or not, or at the newest end.

        Raises `Refused`: `NOTICE_NOT_FOUND` if the owner has no notice with the id of the keyset,
        `UNAVAILABLE`.
        """
        shown = self._shown[owner.columns]
        rows: list[Row] = []
        deleted: list[Row] = []
        async with self._store.session() as session:
            anchor = await self._anchors.find(session, owner, keyset)
            if anchor is not None:
                rows = await shown.rows(session, owner, keyset, anchor)
            if anchor is not None and with_deleted:
                deleted = await self._deleted[owner.columns].rows(session, owner, keyset, anchor)
        if anchor is None:
            raise self._anchors.missing()
        most = keyset.limit + 1
        if with_deleted:
            # Shown ones are read first: one that is deleted between the statements is found twice, not never.
            by_key = {shown.reader.sort_key_of(row, most): row for row in (*rows, *deleted)}
            rows = [by_key[key] for key in sorted(by_key)]
        rows, has_more = cut(rows, keyset)
        rows.reverse()
        return KeysetPage(await shown.reader.listing(owner.app_id, rows, most), has_more)
