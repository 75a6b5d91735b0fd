"""What the store looks up is found by key: no statement scans a table or sorts rows."""

from typing import Any

import pytest
from imc_command_api.store import lookup
from imc_command_api.store.changes import row_of
from imc_command_api.store.projection import Projection
from imc_command_api.store.statements import statements, with_ids
from imc_service.database.database import Database
from imc_testkit.query_plans import PRIMARY, plan_of


@pytest.fixture
async def filled(database: Database, history: Any) -> Database:
    """A database whose averages suggest other indexes: an app with few rows, none of them in a log."""
    projection = Projection(database)
    await projection.apply([history.sent(history.message()) for _ in range(50)])
    await projection.apply([history.published(history.notice()) for _ in range(50)])
    return database


@pytest.mark.parametrize("rows", ["messages", "notices"])
async def test_known_rows_are_found_by_their_primary_key(filled: Database, history: Any, rows: str):
    find = getattr(statements(is_sqlite=filled.is_sqlite), rows).find
    for count in (2, 40):
        sql = with_ids(find, count)
        plan = await plan_of(filled, sql, (history.app_id, *range(1, count + 1)))
        [step] = plan.steps
        assert (step.index, step.seeks) == (PRIMARY, True), plan


@pytest.mark.parametrize(
    ("sql", "make"),
    [
        (lookup.SELECT_MESSAGE, lambda history: history.sent(history.message())),
        (lookup.SELECT_NOTICE, lambda history: history.published(history.notice())),
    ],
    ids=["message", "notice"],
)
async def test_a_row_is_looked_up_by_its_primary_key(filled: Database, history: Any, sql: str, make: Any):
    placed = make(history)
    await Projection(filled).apply([placed])
    id_ = row_of(placed.app_id, placed.entry)[0]
    plan = await plan_of(filled, sql, (history.app_id, id_))
    [step] = plan.steps
    assert (step.index, step.seeks) == (PRIMARY, True), plan


async def test_the_apps_of_a_notice_are_found_in_an_index(filled: Database):
    plan = await plan_of(filled, lookup.SELECT_APPS_OF_NOTICE, (1,))
    [step] = plan.steps
    assert (step.index, step.seeks) == ("imc_notice_id", True), plan
