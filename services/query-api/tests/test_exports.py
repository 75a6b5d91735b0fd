"""Compares exports of messages and notices with the rows, on both kinds of database."""

from typing import Any

import httpx
import pytest
from imc_contracts.schema import MESSAGES
from imc_service.database.database import Database
from imc_service.http.page_marks import AFTER_RULE, mark_of
from imc_testkit.views import message_view

Rows = list[dict[str, Any]]

OWNERS = [{}, {"group_id": "g"}, {"user_id": "g"}, {"group_id": "g", "user_id": "g"}, {"group_id": "nobody"}]
PARAMETERS = {"group_id": "groupId", "user_id": "userId"}
KINDS = {"messages": ("message_id", "messageId"), "notices": ("information_id", "informationId")}


class Exported:
    """Pages of one kind, and the rows that they must list."""

    def __init__(self, client: httpx.AsyncClient, kind: str, rows: Rows, app_id: str) -> None:
        self.client, self.kind, self.app_id = client, kind, app_id
        self.column, self.field = KINDS[kind]
        self.rows = [row for row in rows if row["app_id"] == app_id]

    def ids(self, owner: dict[str, str]) -> list[str]:
        found = [row for row in self.rows if owner.items() <= row.items()]
        found.sort(key=lambda row: (row["create_time"] if owner else 0, row[self.column]))
        return [str(row[self.column]) for row in found]

    async def page(self, owner: dict[str, str], **asked: Any) -> tuple[list[dict[str, Any]], str | None]:
        names = {PARAMETERS[column]: value for column, value in owner.items()}
        path = f"/v1/queries/export-{self.kind}"
        reply = await self.client.get(path, params={"appId": self.app_id, **names, **asked})
        assert reply.status_code == 200, reply.text
        data = reply.json()["data"]
        assert data.keys() == {self.kind, "hasMore", "next"}
        assert data["hasMore"] == (data["next"] is not None)
        return data[self.kind], data["next"]


@pytest.fixture(params=KINDS)
def exported(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, two_apps: tuple[str, str]
) -> Exported:
    return Exported(client, request.param, request.getfixturevalue(request.param), two_apps[0])


@pytest.mark.parametrize("limit", [7, 64, 65, 500])
async def test_pages_list_every_row_once(exported: Exported, limit: int) -> None:
    for owner in OWNERS:
        items, after = await exported.page(owner, limit=limit)
        while after is not None:
            page, after = await exported.page(owner, limit=limit, after=after)
            assert len(page) == limit or after is None
            items += page
        assert [item[exported.field] for item in items] == exported.ids(owner)


async def test_a_page_that_holds_the_last_row_is_the_last(exported: Exported) -> None:
    for owner in OWNERS[:4]:
        ids = exported.ids(owner)
        assert len(ids) <= 500
        items, after = await exported.page(owner, limit=len(ids))
        assert ([item[exported.field] for item in items], after) == (ids, None)


async def test_what_is_recalled_is_listed_without_content(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    exported = Exported(client, "messages", messages, two_apps[0])
    rows = {str(row["message_id"]): row for row in exported.rows}
    items, _ = await exported.page({}, limit=500)
    assert {item["status"] for item in items} == {0, 1}
    assert items == [message_view(rows[item["messageId"]]) for item in items]


async def test_a_page_goes_on_where_its_row_was_removed(
    database: Database, client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    exported = Exported(client, "messages", messages, two_apps[0])
    for owner in OWNERS[:3]:
        ids = exported.ids(owner)
        items, after = await exported.page(owner, limit=5)
        assert after is not None
        gone = items[-1]["messageId"]
        async with database.transaction() as session:
            await session.execute(
                f"DELETE FROM {MESSAGES} WHERE app_id = ? AND message_id = ?", (exported.app_id, int(gone))
            )
        exported.rows = [row for row in exported.rows if str(row["message_id"]) != gone]
        items, _ = await exported.page(owner, limit=5, after=after)
        assert [item["messageId"] for item in items] == ids[5:10]


async def test_a_place_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    places = (b"7", b"7-", b"-7", b"7-7-7", b"a-b", b"7-9999999999999999999", b"9999999999999999999-7")
    rule = f"after is not valid: it must be {AFTER_RULE}"
    for after in map(mark_of, places):
        for kind in KINDS:
            reply = await client.get(f"/v1/queries/export-{kind}", params={"appId": "a", "after": after})
            assert (reply.status_code, reply.json()["code"], reply.json()["message"]) == (400, 40001, rule)
