"""Tests that pages of a long group are correct, whichever end they are read from."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from imc_contracts.views import Message
from imc_query_api.queries.group_history import DEEP, GroupHistory
from imc_query_api.queries.numbered_pages import NumberedPage
from imc_query_api.queries.selection import Owner, Times, Window
from imc_query_api.queries.store import Store
from imc_service.database.database import Database, Row, Session, Values

Rows = list[dict[str, Any]]
Insert = Callable[[Rows], Awaitable[None]]


class InterruptedStore(Store):
    """A store that runs an interruption after each of the first statements."""

    def __init__(self, database: Database, *interruptions: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database)
        self.interruptions = list(interruptions)
        self.statements: list[str] = []

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        async with super().session() as session:
            yield _InterruptedSession(session, self)


class _InterruptedSession:
    def __init__(self, session: Session, store: InterruptedStore) -> None:
        self._session = session
        self._store = store
        self.execute = session.execute
        self.execute_many = session.execute_many

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        rows = await self._session.fetch_all(sql, values)
        self._store.statements.append(sql)
        if self._store.interruptions:
            await self._store.interruptions.pop(0)()
        return rows


async def ids_of(page: NumberedPage[Message]) -> list[int]:
    views = page.listing.items
    if page.listing.rest is not None:
        views += [view async for more in page.listing.rest for view in more]
    return [int(view["messageId"]) for view in views]


@pytest.mark.parametrize("size", [500, 499, 7])
async def test_pages_from_either_end_concatenate_to_the_whole(
    database: Database, long_group: Rows, app_id: str, size: int
) -> None:
    history = GroupHistory(Store(database))
    # All pages of the large sizes. Of the small size, the pages where the way of reading changes.
    for offset in range(0, len(long_group) + 2 * size, size):
        near_a_change = any(abs(offset - place) < 30 for place in (0, DEEP, 2501, 5003))
        if size == 7 and not near_a_change:
            continue
        page = await history.page(Owner(app_id, "long"), Window(offset=offset, size=size))
        assert page.total == len(long_group)
        assert await ids_of(page) == [row["message_id"] for row in long_group[offset : offset + size]]


@pytest.mark.parametrize("arrivals", [1, 3, 4])
async def test_messages_that_arrive_between_statements_do_not_shift_the_page(
    database: Database, insert_messages: Insert, long_group: Rows, app_id: str, arrivals: int
) -> None:
    last = long_group[-1]
    later = [{**last, "message_id": last["message_id"] + 1 + number} for number in range(arrivals)]
    store = InterruptedStore(database, *(lambda row=row: insert_messages([row]) for row in later))

    page = await GroupHistory(store).page(Owner(app_id, "long"), Window(offset=4500, size=50))

    assert await ids_of(page) == [row["message_id"] for row in long_group[4500:4550]]
    # After three failed attempts the page is read from the beginning, where nothing can shift it.
    assert len(store.statements) == (arrivals + 2 if arrivals < 3 else 5)


async def test_a_page_is_read_from_the_beginning_if_the_group_grows_meanwhile(
    database: Database, insert_messages: Insert, long_group: Rows, app_id: str
) -> None:
    last = long_group[-1]
    more = [{**last, "message_id": last["message_id"] + 1 + number} for number in range(200)]
    store = InterruptedStore(database, lambda: insert_messages(more))

    page = await GroupHistory(store).page(Owner(app_id, "long"), Window(offset=2550, size=50))

    assert page.total == 5203
    assert await ids_of(page) == [row["message_id"] for row in long_group[2550:2600]]


async def test_the_total_counts_at_least_what_is_shown(
    database: Database, insert_messages: Insert, long_group: Rows, app_id: str
) -> None:
    last = long_group[-1]
    late = {**last, "message_id": last["message_id"] + 1}
    store = InterruptedStore(database, lambda: insert_messages([late]))
    window = Window(10, 10, Times(start=long_group[0]["create_time"] + 1))

    page = await GroupHistory(store).page(Owner(app_id, "long"), window)

    assert page.total == len(long_group) + 1 - 3
