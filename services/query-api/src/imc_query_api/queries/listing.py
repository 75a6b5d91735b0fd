"""Pages whose memory is bounded, however many rows they have and however long the content of each is.

A page of few rows is read by one statement. Of a larger page, the first statement reads the ids of the rows
and the sizes of their contents. The contents follow in batches of bounded size, each when the one before it
has been sent. In memory, a batch takes up to four times its bytes: Python stores each character of a text
with an emoji in four.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from imc_service.database.database import Row, Session, Values

from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import Table, View

SMALL_PAGE = 65
"""A page of so many rows or fewer is read by one statement: at most 4 MiB of content."""

BATCH_BYTES = 4 * 2**20
BATCH_ROWS = 1024

SHORT = 131_072
"""Items with contents of so many characters or fewer are encoded in one piece."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """The items of a page, in order: those that are read already, and what reads the others.

    ``rest`` is None if there are no others and the items are `SHORT`.
    """

    items: list[Item]
    rest: AsyncIterator[list[Item]] | None = None


class SizedRow(NamedTuple):
    """A row whose content is not read yet: its time, its id, and the bytes of its content."""

    create_time: int
    key: int
    size: int


class Sized(Protocol):
    """What stands for an item of a page before it is read."""

    @property
    def size(self) -> int:
        """The bytes of its content."""
        ...


AnySized = TypeVar("AnySized", bound=Sized)


@dataclass(frozen=True, slots=True)
class PageStatement:
    """A statement that reads a page, once with all columns and once with those of `SizedRow`."""

    whole: str
    sized: str

    def for_rows(self, most: int) -> str:
        """The one for a page of at most ``most`` rows."""
        return self.whole if most <= SMALL_PAGE else self.sized


class ListingReader(Generic[View]):
    """Makes statements of pages of one table, and reads the rows that they find."""

    def __init__(self, store: Store, table: Table[View]) -> None:
        self._store = store
        self._table = table
        self._sized_columns = f"m.create_time, m.{table.key}, {store.byte_length('m.content')}"
        self.batch_sql = read_sql(
            "rows_by_key.sql",
            columns=table.columns,
            table=table.name,
            through_key=store.through_key,
            key=table.key,
            keys="{}",
        )

    def history(self, columns: tuple[str, ...], condition: str | None) -> dict[str, str]:
        """The parts that all statements for the rows of an owner share, see `read_sql`.

        The owner is selected by ``columns``; ``condition`` restricts the rows.
        """
        conditions = [f"{column} = ?" for column in columns] + ([condition] if condition else [])
        return {
            "key": self._table.key,
            "indexed_table": self._store.through(self._table.name, self._table.indexes[columns]),
            "condition": " AND ".join(conditions),
        }

    def statement(self, file: str, beside: str | None = None, **parts: str) -> PageStatement:
        """The statement in ``file`` with ``parts`` (see `read_sql`).

        ``beside`` is an additional expression, the last column of each row. Its values come first.
        """

        def sql(columns: str) -> str:
            more = f", {beside}" if beside else ""
            return read_sql(file, columns=columns + more, table=self._table.name, **parts)

        return PageStatement(sql(self._table.columns), sql(self._sized_columns))

    async def fetch(self, session: Session, statement: PageStatement, values: Values, most: int) -> list[Row]:
        """The rows of a page of at most ``most`` rows, oldest first.

        If ``most`` is more than `SMALL_PAGE`, each begins with the values of `SizedRow`.
        """
        rows = await session.fetch_all(statement.for_rows(most), values)
        if most <= SMALL_PAGE:
            rows.sort(key=self._table.sort_key_of)
        else:
            rows.sort()
        return rows

    def sort_key_of(self, row: Row, most: int) -> tuple[int, int]:
        """The time and id of a row that `fetch` gave for a page of at most ``most``."""
        return self._table.sort_key_of(row) if most <= SMALL_PAGE else (row[0], row[1])

    async def listing(self, app_id: str, rows: Sequence[Row], most: int) -> Listing[View]:
        """The listing of rows that `fetch` gave for a page of at most ``most``.

        Its first items are read here, so that a failure of the database is known before the reply begins.
        Raises `Refused` (`UNAVAILABLE`), as reading the rest does.
        """
        if most <= SMALL_PAGE:
            views = [self._table.view_of(row) for row in rows]
            is_short = sum(len(view["content"]) for view in views) <= SHORT
            return Listing(views, None if is_short else _nothing())

        async def read(batch: Sequence[SizedRow]) -> list[View]:
            views = await self.by_key(app_id, [row.key for row in batch])
            return [views[row.key] for row in batch if row.key in views]

        return await read_in_batches([SizedRow(*row[:3]) for row in rows], read)

    async def by_key(self, app_id: str, keys: Sequence[int]) -> dict[int, View]:
        """The rows with these ids that exist; raises `Refused` (`UNAVAILABLE`)."""
        if not keys:
            return {}
        # A power of two: the text of a statement is made once for each number of ids.
        count = 1 << (len(keys) - 1).bit_length()
        padded = [*keys, *[keys[-1]] * (count - len(keys))]
        rows = await self._store.fetch_all(self.batch_sql.format(", ".join("?" * count)), (app_id, *padded))
        return {row[0]: self._table.view_of(row) for row in rows}


async def read_in_batches(
    rows: Sequence[AnySized], read: Callable[[Sequence[AnySized]], Awaitable[list[Item]]]
) -> Listing[Item]:
    """The listing of the items that ``read`` makes of each batch of ``rows``. The first is read here."""
    first, *others = batches_of(rows) or [[]]
    is_short = not others and sum(row.size for row in first) <= SHORT

    async def rest() -> AsyncIterator[list[Item]]:
        for batch in others:
            yield await read(batch)

    return Listing(await read(first), None if is_short else rest())


async def _nothing() -> AsyncIterator[list[Any]]:
    for nothing in ():
        yield nothing


def batches_of(rows: Sequence[AnySized]) -> list[list[AnySized]]:
    """Cut rows into batches of at most `BATCH_ROWS` rows and `BATCH_BYTES` of content."""
    batches: list[list[AnySized]] = []
    size = 0
    for row in rows:
        if not batches or size + row.size > BATCH_BYTES or len(batches[-1]) == BATCH_ROWS:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += row.size
    return batches
