"""Tests that each statement reads by an index of its app, in the order of the index, and touches few rows."""

import itertools
import secrets
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any

import pytest
from imc_contracts.cursor import ORIGIN, EntryId
from imc_contracts.fields import INT64_MAX
from imc_contracts.schema import (
    GROUPS,
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)
from imc_query_api.queries.exports import Export
from imc_query_api.queries.group_history import GroupHistory
from imc_query_api.queries.groups import LEAP, Groups
from imc_query_api.queries.keyset_pages import Anchor, Anchors, KeysetPages
from imc_query_api.queries.listing import ListingReader
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.messages import ONE, Messages
from imc_query_api.queries.numbered_pages import NumberedPages
from imc_query_api.queries.selection import Keyset, Owner, Window
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE, NOTICE_TABLE, Table
from imc_service.database.database import Database, Values, open_database
from imc_testkit.query_plans import PRIMARY, Plan, TouchedRows, plan_of, touched_rows

ALL = (0, INT64_MAX)
SOME = (1_700_000_000_300, 1_700_000_001_500)
HISTORIES: list[tuple[Table[Any], tuple[str, ...], tuple[str, ...], str, str | None]] = [
    (MESSAGE_TABLE, ("app_id", "group_id"), ("long",), "imc_message_group", None),
    (MESSAGE_TABLE, ("app_id", "user_id"), ("user-7",), "imc_message_user", None),
    (MESSAGE_TABLE, ("app_id", "user_id", "group_id"), ("user-7", "long"), "imc_message_user_group", None),
    (NOTICE_TABLE, ("app_id", "group_id"), ("long",), "imc_notice_group", "status = 1"),
    (NOTICE_TABLE, ("app_id", "user_id"), ("user-7",), "imc_notice_user", "status = 0"),
    (
        NOTICE_TABLE,
        ("app_id", "user_id", "group_id"),
        ("user-7", "long"),
        "imc_notice_user_group",
        "status = 1",
    ),
]
LONG = 5003
START = 1_700_000_000_000


@dataclass(frozen=True)
class Crowd:
    """An app with a long group and as many notices, in a database whose averages are unlike both.

    For each message of the long group there is another one of a user and in a group that have no other, and
    one of the user "bot" in the group "alerts".
    """

    app_id: str
    database: Database
    store: Store

    @property
    def place(self) -> list[tuple[int, int]]:
        """The time and id of each message of the long group."""
        return [(START + number // 3, 1 + number) for number in range(LONG)]

    async def plan(self, sql: str, values: Values) -> Plan:
        return await plan_of(self.database, sql, values)


def messages_of(app_id: str) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for number in range(LONG):
        time, status = START + number // 3, int(number % 7 > 0)
        log_id, last = EntryId(time, number).column, EntryId(time + 1, number).column
        seldom = "seldom" if number % 5000 == 0 else "alerts"
        for beyond, group, user in (
            (1, "long", f"user-{number % 10}"),
            (10_001, f"g{number}", f"u{number}"),
            (20_001, seldom, "bot"),
        ):
            rows.append(
                (
                    number + beyond,
                    app_id,
                    group,
                    user,
                    f"text {number}",
                    time,
                    0,
                    None,
                    status,
                    None,
                    log_id,
                    last,
                )
            )
    return rows


async def fill(database: Database, app_id: str) -> None:
    """Insert the rows of a `Crowd`."""
    messages = messages_of(app_id)
    notices = [
        (id_, app_id, group, user, None, text, time, 0, None, status, None, log_id, last)
        for id_, _, group, user, text, time, _, _, status, _, log_id, last in messages[::3]
    ]
    async with database.transaction() as session:
        for table, columns, rows in (
            (MESSAGES, MESSAGE_VIEW_COLUMNS, messages),
            (NOTICES, NOTICE_VIEW_COLUMNS, notices),
        ):
            columns = (*columns, *LOG_COLUMNS)
            marks = ", ".join("?" * len(columns))
            await session.execute_many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        await session.execute(
            f"INSERT INTO {GROUPS} SELECT app_id, group_id, COUNT(*), MAX(message_id), MAX(create_time)"
            f" FROM {MESSAGES} WHERE app_id = ? GROUP BY app_id, group_id",
            (app_id,),
        )
    async with database.session() as session:
        if not database.is_sqlite:
            await session.execute(f"ANALYZE TABLE {MESSAGES}, {NOTICES}, {GROUPS}")


@pytest.fixture(scope="module")
async def crowd(store_url: str) -> AsyncGenerator[Crowd]:
    app_id = f"crowd-{secrets.token_hex(6)}"
    async with open_database(store_url) as database:
        await fill(database, app_id)
        yield Crowd(app_id, database, Store(database))


@pytest.fixture
async def alone(store_url: str) -> AsyncGenerator[Database]:
    """The database with a connection of the test's own."""
    async with open_database(store_url, size=1) as database:
        yield database


@pytest.fixture
def touched(alone: Database) -> Generator[TouchedRows]:
    with touched_rows(alone) as touched:
        yield touched


@pytest.fixture
def counted_store(alone: Database, touched: TouchedRows) -> Store:
    """A store whose statements are counted."""
    return Store(alone)


def assert_by_index(plan: Plan, index: str, *, sorts: bool = False) -> None:
    """Check that ids come from the index, rows by primary key, without scans, and nothing is sorted."""
    assert index in [step.index for step in plan.steps], plan
    for step in plan.steps:
        assert step.seeks, plan
        assert step.index in (index, PRIMARY), plan
    assert plan.sorts == sorts, plan


def assert_covered(plan: Plan, index: str) -> None:
    """Check `assert_by_index`, and that the index has all that is asked of it."""
    assert_by_index(plan, index)
    assert all(step.covers for step in plan.steps if step.index == index), plan


async def test_numbered_pages_and_counts_read_one_index(crowd: Crowd, subtests: pytest.Subtests) -> None:
    for (table, columns, owner, index, condition), times, newest_first in itertools.product(
        HISTORIES, (ALL, SOME), (False, True)
    ):
        with subtests.test(f"{index} {times} newest_first={newest_first}"):
            statements = NumberedPages(
                crowd.store, table, columns, newest_first=newest_first, condition=condition
            )
            values = (crowd.app_id, *owner, *times)
            for window in ((20, 0), (20, 200), (500, 5000), (500, 2**31 * 500)):
                for sql in (statements.page.whole, statements.page.sized):
                    assert_covered(await crowd.plan(sql, (*values, *window)), index)
            assert_covered(await crowd.plan(statements.count_sql, values), index)


async def test_keyset_pages_read_one_index(crowd: Crowd, subtests: pytest.Subtests) -> None:
    for (table, columns, owner, index, condition), times, place in itertools.product(
        HISTORIES, (ALL, SOME), (0, 2500, 5002)
    ):
        with subtests.test(f"{index} {times} {place}"):
            pages = KeysetPages(crowd.store, table, columns, condition)
            for statement in (pages.before, pages.after):
                for sql, limit in ((statement.whole, 21), (statement.sized, 501)):
                    values = (crowd.app_id, *owner, *times, *crowd.place[place], limit)
                    assert_covered(await crowd.plan(sql, values), index)


async def test_an_export_of_an_app_reads_the_table_in_its_order(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    of_messages, of_notices = (
        Export(crowd.store, MESSAGE_TABLE, (None,)),
        Export(crowd.store, NOTICE_TABLE, ()),
    )
    for statement in (of_messages.of_app, of_notices.of_app):
        for sql, limit in ((statement.whole, 21), (statement.sized, 501)):
            assert_by_index(await crowd.plan(sql, (crowd.app_id, 1700, limit)), PRIMARY)
    export = Export(counted_store, MESSAGE_TABLE, (None,))
    for key in (0, 1700, 4900):
        before = await touched.count()
        page = await export.page(Owner(crowd.app_id), Anchor(0, key), 20)
        assert len(page.listing.items) == 20
        assert await touched.count() - before < 150


async def test_the_cost_of_a_keyset_page_does_not_depend_on_its_position(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    messages, owner = Messages(counted_store), Owner(crowd.app_id, "long")
    ids = [crowd.place[place][1] for place in (100, 2500, 4900)]
    keysets = [
        Keyset(20),
        *(Keyset(20, before=each) for each in ids),
        *(Keyset(20, after=each) for each in ids),
    ]
    for keyset in keysets:
        before = await touched.count()
        page = await messages.keyset_page(owner, keyset, with_total=True)
        assert (len(page.listing.items), page.has_more, page.total) == (20, True, LONG)
        assert await touched.count() - before < 150, keyset


async def test_rows_are_found_by_their_primary_key(crowd: Crowd) -> None:
    tables: list[Table[Any]] = [MESSAGE_TABLE, NOTICE_TABLE]
    ids = [id_ for _, id_ in crowd.place[::300]][:16]
    statements = [
        (ONE, ids[:1]),
        *((ListingReader(crowd.store, table).batch_sql.format(", ".join("?" * 16)), ids) for table in tables),
        *((Anchors(table).sql, ids[:1]) for table in tables),
    ]
    for sql, keys in statements:
        plan = await crowd.plan(sql, (crowd.app_id, *keys))
        [step] = plan.steps
        assert (step.index, step.seeks, plan.sorts) == (PRIMARY, True, False), (sql, plan)


async def test_the_groups_of_a_user_are_found_by_skipping_messages(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    plan = await crowd.plan(Groups(crowd.store).of_user_sql, (crowd.app_id, "bot", "", crowd.app_id))
    # SQLite sorts the rows of one leap, which it does not know to be in order.
    assert_by_index(plan, "imc_message_user_group", sorts=crowd.database.is_sqlite)
    before = await touched.count()
    found = await Groups(counted_store).all_of_user(crowd.app_id, "bot")
    assert {group["groupId"] for group in found.items} == {"alerts", "seldom"}
    # Each row counts once in the index and twice in memory. Without skipping it would be 15,000.
    assert await touched.count() - before < 4 * LEAP


async def test_the_groups_of_an_app_are_read_in_the_order_of_an_index(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    time, middle = crowd.place[2500]
    for values in ((INT64_MAX, INT64_MAX, 0), (time, time, middle)):
        plan = await crowd.plan(Groups(crowd.store).of_app_sql, (crowd.app_id, *values, 21))
        assert_by_index(plan, "imc_group_activity")
    groups = Groups(counted_store)
    for after in (None, middle):
        before = await touched.count()
        page = await groups.page(crowd.app_id, None, after, 20)
        assert (len(page.listing.items), page.has_more) == (20, True)
        assert await touched.count() - before < 250


async def test_a_page_of_a_group_skips_only_rows_up_to_the_nearer_end(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    history = GroupHistory(counted_store)
    for offset, most in ((0, 150), (1000, 1200), (2600, 2700), (4900, 350), (10**12, 60)):
        before = await touched.count()
        page = await history.page(Owner(crowd.app_id, "long"), Window(20, offset))
        assert len(page.listing.items) == (20 if offset < 5000 else 0)
        assert await touched.count() - before < most, offset


async def test_changes_of_the_log_are_read_in_the_order_of_an_index(
    crowd: Crowd, touched: TouchedRows, counted_store: Store
) -> None:
    end = EntryId(START * 2, 0)
    indexes = (
        *("imc_message_log", "imc_message_retired", "imc_notice_log", "imc_notice_retired"),
        "imc_erasure_log",
    )
    for source, index in zip(LogChanges(crowd.store).sources, indexes, strict=True):
        plan = await crowd.plan(source.sql, (crowd.app_id, ORIGIN.column, end.column, 500))
        assert_by_index(plan, index)
    changes = LogChanges(counted_store)
    for after in (ORIGIN, EntryId(crowd.place[2500][0], 0), EntryId(crowd.place[4900][0], 0)):
        before = await touched.count()
        page = await changes.page(crowd.app_id, after, end, 20, with_notices=True)
        assert len(page["changes"]) == 20
        # After the first kind of event, rows of others are read only if they precede its last one.
        # Each change is found in an index, its size in its row, and then its content; and then how far the
        # app's rows were removed.
        assert await touched.count() - before < 220, after
