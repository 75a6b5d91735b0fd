"""All rows of an app, a group, a user, or a user in a group, page by page from the oldest on.

A page begins after a place, not after a row: rows may be removed while an export is under way. Rows of an
app are listed by id, the order of the table. All others are listed by time and id, as in their histories.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from imc_contracts.views import Message, Notice
from imc_service.database.database import Row, Session

from imc_query_api.queries.keyset_pages import Anchor, KeysetPages
from imc_query_api.queries.listing import Item, Listing, ListingReader
from imc_query_api.queries.notices import DELETED, SHOWN
from imc_query_api.queries.selection import Keyset, Owner
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE, NOTICE_TABLE, Table

View = TypeVar("View", Message, Notice)


@dataclass(frozen=True, slots=True)
class ExportPage(Generic[Item]):
    """A page, and the place after which the next one begins; None if this is the last."""

    listing: Listing[Item]
    next: Anchor | None


class Export(Generic[View]):
    """Lists the rows of one table, retired ones too."""

    def __init__(self, store: Store, table: Table[View], conditions: tuple[str | None, ...]) -> None:
        """``conditions`` divide the rows so that an index lists each part by time."""
        self._store = store
        self._reader = ListingReader(store, table)
        self.of_app = self._reader.statement("export_page.sql", key=table.key)
        self._parts = {
            columns: [KeysetPages(store, table, columns, condition) for condition in conditions]
            for columns in table.indexes
        }

    async def page(self, owner: Owner, after: Anchor, limit: int) -> ExportPage[View]:
        """The first ``limit`` rows after a place; raises `Refused` (`UNAVAILABLE`)."""
        most = limit + 1
        async with self._store.session() as session:
            if owner.is_app:
                found = await self._reader.fetch(session, self.of_app, (owner.app_id, after.key, most), most)
                # As read for a page, rows are in the order of their times.
                found.sort(key=lambda row: self._place(row, most).key)
            else:
                found = await self._of_owner(session, owner, after, limit)
        rows = found[:limit]
        next_place = self._place(rows[-1], most) if len(found) > limit else None
        return ExportPage(await self._reader.listing(owner.app_id, rows, most), next_place)

    async def _of_owner(self, session: Session, owner: Owner, after: Anchor, limit: int) -> list[Row]:
        keyset = Keyset(limit, after=after.key)
        by_place: dict[Anchor, Row] = {}
        # A row that is retired between two statements is found by both.
        for part in self._parts[owner.columns]:
            rows = await part.rows(session, owner, keyset, after)
            by_place.update((self._place(row, limit + 1), row) for row in rows)
        return [by_place[place] for place in sorted(by_place)]

    def _place(self, row: Row, most: int) -> Anchor:
        return Anchor(*self._reader.sort_key_of(row, most))


class Exports:
    """The exports of both tables."""

    def __init__(self, store: Store) -> None:
        self.messages: Export[Message] = Export(store, MESSAGE_TABLE, (None,))
        self.notices: Export[Notice] = Export(store, NOTICE_TABLE, (SHOWN, DELETED))
