"""Rows are removed once, whoever writes beside, and what is told about them stays right."""

import asyncio
import random
from typing import Any

import pytest
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_command_api.store.removal import Removal, Removed
from imc_command_api.store.statements import removal_statements, with_ids
from imc_contracts.schema import PROJECTIONS
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from imc_service.retry import Backoff
from imc_testkit.query_plans import PRIMARY, plan_of


@pytest.fixture
def projection(database: Database) -> Projection:
    return Projection(database)


@pytest.fixture
def removal(database: Database) -> Removal:
    return Removal(database)


def ids_of(*views: Any) -> list[int]:
    return [int(view.get("messageId") or view.get("informationId")) for view in views]


async def mark_of(database: Database, app_id: str) -> str | None:
    rows = await database.fetch_all(f"SELECT removed_to FROM {PROJECTIONS} WHERE app_id = ?", (app_id,))
    return rows[0][0] if rows else None


async def test_groups_keep_their_totals_and_their_newest(
    projection: Projection, removal: Removal, tables: Any, history: Any
):
    first, second, third = (history.message("g", createTime=time) for time in (1, 2, 3))
    only, other = history.message("h", createTime=9), history.message("other", createTime=5)
    await projection.apply([history.sent(each) for each in (third, first, only, second, other)])
    assert await removal.remove(history.app_id, message_ids=ids_of(first, third)) == Removed(2)
    assert await tables.groups(history.app_id) == {
        "g": (1, *ids_of(second), 2),
        "h": (1, *ids_of(only), 9),
        "other": (1, *ids_of(other), 5),
    }
    assert await removal.remove(history.app_id, message_ids=ids_of(second, only)) == Removed(2, 0, 2)
    assert await tables.groups(history.app_id) == {"other": (1, *ids_of(other), 5)}
    assert [row["message_id"] for row in await tables.messages(history.app_id)] == ids_of(other)


async def test_a_second_time_changes_nothing(
    projection: Projection, removal: Removal, tables: Any, database: Database, history: Any
):
    messages, notice = [history.message() for _ in range(3)], history.notice()
    await projection.apply([*map(history.sent, messages), history.published(notice)])
    ids = {"message_ids": ids_of(*messages[:2]), "information_ids": ids_of(notice)}
    assert await removal.remove(history.app_id, **ids) == Removed(2, 1)
    before = [await tables.groups(history.app_id), await mark_of(database, history.app_id)]
    assert await removal.remove(history.app_id, **ids) == Removed()
    assert await removal.remove(history.app_id) == Removed()
    assert [await tables.groups(history.app_id), await mark_of(database, history.app_id)] == before
    assert await tables.notices(history.app_id) == []


async def test_other_apps_with_the_same_ids_stay(
    projection: Projection, removal: Removal, tables: Any, history: Any, history_of: Any
):
    other = history_of(f"{history.app_id}-x")
    message = history.message()
    await projection.apply([history.sent(message), other.sent(other.message(messageId=message["messageId"]))])
    await removal.remove(history.app_id, message_ids=ids_of(message))
    assert await tables.count(other.app_id) == 1
    assert (await tables.groups(other.app_id))["g"][0] == 1


async def test_the_mark_is_the_newest_event_that_is_gone(
    projection: Projection, removal: Removal, tables: Any, database: Database, history: Any
):
    first, second, third = (history.message() for _ in range(3))
    notice = history.notice()
    sends = [history.sent(each) for each in (first, second, third)]
    recall, publication = history.recalled(first), history.published(notice)
    deletion = history.deleted(notice)
    await projection.apply([*sends, recall, publication, deletion])
    position = ("e", sends[0].entry.id.column)
    await projection.apply_rows([], {history.app_id: position})
    for ids, newest in (
        ({"message_ids": ids_of(second)}, sends[1]),
        ({"message_ids": ids_of(first)}, recall),
        ({"message_ids": ids_of(third)}, recall),
        ({"information_ids": ids_of(notice)}, deletion),
    ):
        await removal.remove(history.app_id, **ids)
        assert await mark_of(database, history.app_id) == newest.entry.id.column
    assert await tables.position(history.app_id) == position


async def test_the_mark_of_an_app_without_a_position_is_no_position(
    projection: Projection, removal: Removal, tables: Any, database: Database, history: Any
):
    message = history.message()
    sent = history.sent(message)
    await projection.apply([sent])
    await removal.remove(history.app_id, message_ids=ids_of(message))
    assert await mark_of(database, history.app_id) == sent.entry.id.column
    position = ("e", sent.entry.id.column)
    await projection.apply_rows([], {history.app_id: position})
    assert await tables.position(history.app_id) == position


async def test_a_row_without_a_log_id_leaves_no_mark(removal: Removal, database: Database, history: Any):
    async with database.transaction() as session:
        await session.execute(
            "INSERT INTO imc_message (message_id, app_id, group_id, user_id, content, create_time) "
            "VALUES (7, ?, 'g', 'u', 'old', 1)",
            (history.app_id,),
        )
    assert await removal.remove(history.app_id, message_ids=[7]) == Removed(1)
    assert await mark_of(database, history.app_id) is None


async def test_all_is_removed_or_nothing(
    projection: Projection, removal: Removal, tables: Any, database: Database, history: Any
):
    message = history.message("refused")
    await projection.apply([history.sent(message), history.sent(history.message("refused"))])
    before = [await tables.messages(history.app_id), await tables.groups(history.app_id)]
    refuse = (
        "WHEN NEW.group_id = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        if database.is_sqlite
        else "FOR EACH ROW IF NEW.group_id = 'refused' THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    async with database.session() as session:
        await session.execute(f"CREATE TRIGGER refuse_shrinking BEFORE UPDATE ON imc_group {refuse}")
    try:
        with pytest.raises((StatementRefused, StoreUnavailable)):
            await removal.remove(history.app_id, message_ids=ids_of(message))
    finally:
        async with database.session() as session:
            await session.execute("DROP TRIGGER refuse_shrinking")
    assert [await tables.messages(history.app_id), await tables.groups(history.app_id)] == before
    assert await mark_of(database, history.app_id) is None


async def test_beside_writers_and_beside_another_removal_the_totals_are_right(
    projection: Projection, removal: Removal, tables: Any, history: Any
):
    chosen = random.Random(3)
    old = [history.message(f"g{n % 5}", createTime=n + 1) for n in range(300)]
    new = [history.message(f"g{n % 7}", createTime=1000 + n) for n in range(200)]
    await projection.apply([history.sent(message) for message in old])

    async def write(entries: list[PlacedEntry]) -> None:
        for start in range(0, len(entries), 20):
            some = entries[start : start + 20]
            await Backoff().retry(lambda: projection.apply(some), StoreUnavailable)  # noqa: B023

    async def remove(ids: list[int]) -> int:
        chosen.shuffle(ids)
        removed = 0
        for start in range(0, len(ids), 25):
            some = ids[start : start + 25]
            while True:
                try:
                    removed += (await removal.remove(history.app_id, message_ids=some)).messages
                    break
                except StoreUnavailable:  # pragma: no cover - if transactions conflict for long
                    continue
        return removed

    _, *removed = await asyncio.gather(
        write([history.sent(message) for message in new]), remove(ids_of(*old)), remove(ids_of(*old))
    )
    assert sum(removed) == len(old)
    rows = await tables.messages(history.app_id)
    assert len(rows) == len(new)
    expected = {
        f"g{n}": (len(mine), mine[-1]["message_id"], mine[-1]["create_time"])
        for n in range(7)
        for mine in [[row for row in rows if row["group_id"] == f"g{n}"]]
    }
    assert await tables.groups(history.app_id) == expected


async def test_what_is_projected_again_may_be_removed_again(
    projection: Projection, removal: Removal, tables: Any, history: Any
):
    message = history.message()
    sent, recall = history.sent(message), history.recalled(message)
    await projection.apply([sent])
    await removal.remove(history.app_id, message_ids=ids_of(message))
    for late in (sent, recall):
        await projection.apply([late])
        assert (await tables.groups(history.app_id))["g"][0] == 1
        assert await removal.remove(history.app_id, message_ids=ids_of(message)) == Removed(1, 0, 1)
        assert await tables.groups(history.app_id) == {}


async def test_rows_are_found_and_locked_by_their_primary_key(
    projection: Projection, database: Database, history: Any
):
    await projection.apply([history.sent(history.message(f"g{n}")) for n in range(50)])
    await projection.apply([history.published(history.notice()) for _ in range(50)])
    sql = removal_statements(is_sqlite=database.is_sqlite)
    for find, ids in (
        (sql.find_messages, range(40)),
        (sql.find_notices, range(40)),
        (sql.find_groups, [f"g{n}" for n in range(40)]),
    ):
        plan = await plan_of(database, with_ids(find, 40), (history.app_id, *ids))
        [step] = plan.steps
        assert (step.index, step.seeks, plan.sorts) == (PRIMARY, True, False), plan
    plan = await plan_of(database, sql.find_newest, (history.app_id, "g1"))
    [step] = plan.steps
    assert (step.index, step.seeks, plan.sorts) == ("imc_message_group", True, False), plan
