"""Pages by id: the rows next to a row, at a cost that does not depend on where in the history it is.

Rows are ordered by time and id. A page starts from the time and id of its anchor, which never change. So
pages neither overlap nor skip rows, whatever is added meanwhile, and also among rows of one millisecond.
"""

from dataclasses import dataclass
from typing import Generic, NamedTuple

from imc_contracts.errors import Refused
from imc_contracts.fields import INT64_MAX
from imc_service.database.database import Row, Session

from imc_query_api.queries.listing import Item, Listing, ListingReader, PageStatement
from imc_query_api.queries.selection import Keyset, Owner
from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import Table, View


class Anchor(NamedTuple):
    """A point in the order of a history. The rows of a page are before or after it."""

    create_time: int
    key: int


AFTER_ALL = Anchor(INT64_MAX, 0)
BEFORE_ALL = Anchor(0, 0)


@dataclass(frozen=True, slots=True)
class KeysetPage(Generic[Item]):
    """A page, and whether there are more rows in its direction.

    The direction is towards older rows, and towards newer ones in a page after an id.
    """

    listing: Listing[Item]
    has_more: bool
    total: int | None = None
    """The number of all rows between the times, whatever the anchor is; None unless requested."""


class Anchors(Generic[View]):
    """Finds the anchors of pages of one table."""

    def __init__(self, table: Table[View]) -> None:
        self._table = table
        self.sql = read_sql("anchor.sql", table=table.name, key=table.key)

    async def find(self, session: Session, owner: Owner, keyset: Keyset) -> Anchor | None:
        """The anchor of the page, or None if the owner has no row with that id."""
        key = keyset.before if keyset.after is None else keyset.after
        if key is None:
            return AFTER_ALL
        rows = await session.fetch_all(self.sql, (owner.app_id, key))
        for create_time, group_id, user_id in rows:
            if owner.group_id in (None, group_id) and owner.user_id in (None, user_id):
                return Anchor(create_time, key)
        return None

    def missing(self) -> Refused:
        """The refusal where `find` gives None."""
        return Refused(self._table.not_found, f"there is no such {self._table.noun} in what is asked for")


class KeysetPages(Generic[View]):
    """The statements for the owners that are selected by the same ``columns``.

    ``condition`` restricts the rows.
    """

    def __init__(
        self, store: Store, table: Table[View], columns: tuple[str, ...], condition: str | None = None
    ) -> None:
        self.reader = ListingReader(store, table)
        history = self.reader.history(columns, condition)

        # The condition on the time alone lets MariaDB use the index. For an equivalent comparison of pairs
        # it would read the whole history.
        def statement(beyond: str, direction: str) -> PageStatement:
            return self.reader.statement("keyset_page.sql", beyond=beyond, direction=direction, **history)

        self.before, self.after = statement("<", "DESC"), statement(">", "ASC")

    async def rows(self, session: Session, owner: Owner, keyset: Keyset, anchor: Anchor) -> list[Row]:
        """The rows of the page and, if there are more in its direction, one of those; oldest first."""
        start, end = keyset.times.start, keyset.times.end
        if keyset.after is None:
            statement, end = self.before, min(end, anchor.create_time + 1)
        else:
            statement, start = self.after, max(start, anchor.create_time)
        values = (*owner.values, start, end, *anchor, keyset.limit + 1)
        return await self.reader.fetch(session, statement, values, keyset.limit + 1)


def cut(rows: list[Row], keyset: Keyset) -> tuple[list[Row], bool]:
    """Remove what `KeysetPages.rows` read beyond the page; whether it read something beyond."""
    if len(rows) <= keyset.limit:
        return rows, False
    return (rows[len(rows) - keyset.limit :] if keyset.after is None else rows[: keyset.limit]), True
