"""Tests that MariaDB reads with the right index, in its order, and touches few rows."""

import itertools
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_contracts.fields import INT64_MAX
from imc_contracts.schema import GROUPS, MESSAGES, NOTICES
from imc_query_api.queries.group_history import GroupHistory
from imc_query_api.queries.groups import LEAP, Groups
from imc_query_api.queries.keyset_pages import KeysetPages
from imc_query_api.queries.listing import ListingReader
from imc_query_api.queries.messages import ONE, Messages
from imc_query_api.queries.numbered_pages import NumberedPages
from imc_query_api.queries.selection import Keyset, Owner, Window
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE, NOTICE_TABLE, Table
from imc_service.database.database import Database, Session, Values, open_database
from prometheus_client import CollectorRegistry

Rows = list[dict[str, Any]]

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


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncGenerator[Database]:
    """MariaDB only: SQLite has no such statistics and counters."""
    async with open_database(database_url) as database:
        yield database


@pytest.fixture(scope="module")
def store(database: Database) -> Store:
    return Store(database, CollectorRegistry())


@pytest.fixture
async def session(database: Database, long_group: Rows, app_id: str) -> AsyncGenerator[Session]:
    """A connection to a database that knows the long group, as many notices, and an average unlike both.

    For each message of the long group there is another one of a user and in a group that have no other, and
    one of the user "bot" in the group "alerts".
    """
    copy = f"FROM {MESSAGES} WHERE app_id = ? AND group_id = 'long'"
    same = "create_time, recall_time, status"
    async with database.session() as session:
        await session.execute(
            f"INSERT INTO {NOTICES} (information_id, app_id, group_id, user_id, content, create_time, status)"
            f" SELECT message_id, app_id, group_id, user_id, content, create_time, MOD(message_id, 2) {copy}",
            (app_id,),
        )
        for beyond, group, user in (
            (10_000, "CONCAT('g', message_id)", "CONCAT('u', message_id)"),
            (20_000, "IF(MOD(message_id, 5000) = 0, 'seldom', 'alerts')", "'bot'"),
        ):
            await session.execute(
                f"INSERT INTO {MESSAGES} (message_id, app_id, group_id, user_id, content, {same})"
                f" SELECT message_id + {beyond}, app_id, {group}, {user}, content, {same} {copy}",
                (app_id,),
            )
        await session.execute(
            f"INSERT INTO {GROUPS}"
            " SELECT app_id, group_id, COUNT(*), MAX(message_id), MAX(create_time)"
            f" FROM {MESSAGES} WHERE app_id = ? AND group_id <> 'long' GROUP BY app_id, group_id",
            (app_id,),
        )
        await session.execute(f"ANALYZE TABLE {MESSAGES}, {NOTICES}, {GROUPS}")
        yield session


async def plan(session: Session, sql: str, values: Values) -> list[dict[str, Any]]:
    columns = ("id", "select", "table", "type", "keys", "key", "length", "ref", "rows", "extra")
    rows = await session.fetch_all(f"EXPLAIN {sql}", values)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def assert_by_index(steps: list[dict[str, Any]], index: str) -> None:
    """Check that ids come from the index in its order, rows by primary key, without sorts or scans."""
    by_index = [step for step in steps if step["key"] == index]
    assert by_index, steps
    for step in by_index:
        assert "Using index" in step["extra"], steps
    for step in steps:
        assert "filesort" not in step["extra"], steps
        in_memory = str(step["table"]).startswith("<derived")
        assert in_memory or step["type"] in ("range", "ref", "eq_ref"), steps


async def rows_touched(session: Session) -> int:
    counters = await session.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in counters)


async def test_numbered_pages_and_counts_read_one_index(
    session: Session, store: Store, app_id: str, subtests: pytest.Subtests
) -> None:
    for (table, columns, owner, index, condition), times, newest_first in itertools.product(
        HISTORIES, (ALL, SOME), (False, True)
    ):
        with subtests.test(f"{index} {times} newest_first={newest_first}"):
            statements = NumberedPages(store, table, columns, newest_first=newest_first, condition=condition)
            values = (app_id, *owner, *times)
            for window in ((20, 0), (20, 200), (500, 5000), (500, 2**31 * 500)):
                for sql in (statements.page.whole, statements.page.sized):
                    assert_by_index(await plan(session, sql, (*values, *window)), index)
            assert_by_index(await plan(session, statements.count_sql, values), index)


async def test_keyset_pages_read_one_index(
    session: Session, store: Store, long_group: Rows, app_id: str, subtests: pytest.Subtests
) -> None:
    for (table, columns, owner, index, condition), times, place in itertools.product(
        HISTORIES, (ALL, SOME), (0, 2500, 5002)
    ):
        with subtests.test(f"{index} {times} {place}"):
            pages = KeysetPages(store, table, columns, condition)
            anchor = (long_group[place]["create_time"], long_group[place]["message_id"])
            for statement in (pages.before, pages.after):
                for sql, limit in ((statement.whole, 21), (statement.sized, 501)):
                    values = (app_id, *owner, *times, *anchor, limit)
                    assert_by_index(await plan(session, sql, values), index)


async def test_the_cost_of_a_keyset_page_does_not_depend_on_its_position(
    database_url: str, session: Session, long_group: Rows, app_id: str
) -> None:
    async with open_database(database_url, size=1) as alone:
        messages = Messages(Store(alone, CollectorRegistry()))
        owner = Owner(app_id, "long")
        ids = [long_group[place]["message_id"] for place in (100, 2500, 4900)]
        keysets = [
            Keyset(20),
            *(Keyset(20, before=each) for each in ids),
            *(Keyset(20, after=each) for each in ids),
        ]
        for keyset in keysets:
            before = await counters(alone)
            page = await messages.keyset_page(owner, keyset, with_total=True)
            assert (len(page.listing.items), page.has_more, page.total) == (20, True, len(long_group))
            assert await counters(alone) - before < 150, keyset


async def test_rows_of_a_batch_are_read_by_their_primary_key(
    session: Session, store: Store, long_group: Rows, app_id: str
) -> None:
    tables: list[Table[Any]] = [MESSAGE_TABLE, NOTICE_TABLE]
    for table in tables:
        sql = ListingReader(store, table).batch_sql.format(", ".join("?" * 16))
        ids = [row["message_id"] for row in long_group[::300]][:16]
        [step] = await plan(session, sql, (app_id, *ids))
        assert (step["key"], step["type"]) == ("PRIMARY", "range"), step
    [step] = await plan(session, ONE, (app_id, long_group[0]["message_id"]))
    assert (step["key"], step["type"]) == ("PRIMARY", "const"), step


async def test_the_groups_of_a_user_are_found_by_skipping_messages(
    database_url: str, session: Session, store: Store, app_id: str
) -> None:
    assert_by_index(
        await plan(session, Groups(store).of_user_sql, (app_id, "bot", "", app_id)), "imc_message_user_group"
    )
    async with open_database(database_url, size=1) as alone:
        before = await counters(alone)
        found = await Groups(Store(alone, CollectorRegistry())).all_of_user(app_id, "bot")
        assert {group["groupId"] for group in found.items} == {"alerts", "seldom"}
        # Each row counts once in the index and twice in memory. Without skipping it would be 15,000.
        assert await counters(alone) - before < 4 * LEAP


async def test_the_groups_of_an_app_are_read_in_the_order_of_an_index(
    database_url: str, session: Session, store: Store, long_group: Rows, app_id: str
) -> None:
    middle = long_group[2500]
    place = (middle["create_time"], middle["create_time"], middle["message_id"])
    for values in ((INT64_MAX, INT64_MAX, 0), place):
        assert_by_index(
            await plan(session, Groups(store).of_app_sql, (app_id, *values, 21)), "imc_group_activity"
        )
    async with open_database(database_url, size=1) as alone:
        groups = Groups(Store(alone, CollectorRegistry()))
        for after in (None, middle["message_id"]):
            before = await counters(alone)
            page = await groups.page(app_id, None, after, 20)
            assert (len(page.listing.items), page.has_more) == (20, True)
            assert await counters(alone) - before < 250


async def test_a_page_of_a_group_skips_only_rows_up_to_the_nearer_end(
    database_url: str, session: Session, app_id: str
) -> None:
    # One connection, so that its counters are those of the queries.
    async with open_database(database_url, size=1) as alone:
        history = GroupHistory(Store(alone, CollectorRegistry()))
        for offset, most in ((0, 150), (1000, 1200), (2600, 2700), (4900, 350), (10**12, 60)):
            before = await counters(alone)
            page = await history.page(Owner(app_id, "long"), Window(20, offset))
            assert len(page.listing.items) == (20 if offset < 5000 else 0)
            assert await counters(alone) - before < most, offset


async def counters(database: Database) -> int:
    async with database.session() as session:
        return await rows_touched(session)
