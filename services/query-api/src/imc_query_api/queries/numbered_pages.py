"""Pages by number: some rows of a history are skipped, the following ones are read, and all are counted."""

from dataclasses import dataclass
from typing import Generic

from imc_service.database.database import Row, Session, Values

from imc_query_api.queries.listing import Listing, ListingReader
from imc_query_api.queries.selection import Owner, Times, Window
from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import Table, View


@dataclass(frozen=True, slots=True)
class NumberedPage(Generic[View]):
    """A page, and the number of all rows between the times of its window."""

    listing: Listing[View]
    total: int


class NumberedPages(Generic[View]):
    """The statements for the owners that are selected by the same ``columns``.

    ``condition`` restricts the rows, ``beside`` is an additional expression (see `ListingReader.statement`).
    """

    def __init__(
        self,
        store: Store,
        table: Table[View],
        columns: tuple[str, ...],
        *,
        newest_first: bool = False,
        condition: str | None = None,
        beside: str | None = None,
    ) -> None:
        self._newest_first = newest_first
        self.reader = ListingReader(store, table)
        history = self.reader.history(columns, condition)
        direction = "DESC" if newest_first else "ASC"
        self.page = self.reader.statement("numbered_page.sql", beside, direction=direction, **history)
        self.count_sql = read_sql("count.sql", **history)

    async def rows(
        self, session: Session, owner: Owner, window: Window, beside: Values = (), most: int | None = None
    ) -> list[Row]:
        """The rows of the window, oldest first, as `ListingReader.fetch` gives them for ``most`` rows."""
        times = window.times
        values = (*beside, *owner.values, times.start, times.end, window.size, window.offset)
        return await self.reader.fetch(session, self.page, values, most or window.size)

    async def count(self, session: Session, owner: Owner, times: Times) -> int:
        """The number of rows between the times, counted in the index."""
        rows = await session.fetch_all(self.count_sql, (*owner.values, times.start, times.end))
        return int(rows[0][0])

    async def total(self, session: Session, owner: Owner, window: Window, seen: int) -> int:
        """The number of rows between the times of the window, of which ``seen`` are in the window.

        Call this after reading the rows, so that the total is never less than the rows shown.
        """
        if 0 < seen < window.size or (seen == 0 < window.size and window.offset == 0):
            return window.offset + seen  # the page reaches the end
        return await self.count(session, owner, window.times)

    async def read(self, session: Session, owner: Owner, window: Window) -> tuple[list[Row], int]:
        """The rows of the window in order, and the number of rows between its times."""
        rows = await self.rows(session, owner, window) if window.size else []
        total = await self.total(session, owner, window, len(rows))
        if self._newest_first:
            rows.reverse()
        return rows, total
