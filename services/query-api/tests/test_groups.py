"""Tests the groups of a user and of an app, on both doors and both kinds of database."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from imc_contracts.schema import MESSAGES
from imc_query_api.queries.groups import LEAP
from imc_service.database.database import Database

Rows = list[dict[str, Any]]
PATH = "/chat/group/findGroupListByUserId"
GROUPS = "/v1/queries/groups"


def place(row: dict[str, Any]) -> tuple[int, int]:
    return row["create_time"], row["message_id"]


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
async def test_pages_of_groups_match_the_model(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], limit: int
) -> None:
    for user_id in (None, "g", "🙂"):
        whole = await all_groups(client, two_apps[0], user_id, 500)
        of_app = [row for row in messages if row["app_id"] == two_apps[0]]
        names = {row["group_id"] for row in of_app if user_id in (None, row["user_id"])}
        newest = {name: max((r for r in of_app if r["group_id"] == name), key=place) for name in names}
        assert [group["groupId"] for group in whole] == sorted(
            names, key=lambda name, newest=newest: place(newest[name]), reverse=True
        )
        assert await all_groups(client, two_apps[0], user_id, limit) == whole


async def all_groups(client: httpx.AsyncClient, app_id: str, user_id: str | None, limit: int) -> Rows:
    groups: Rows = []
    asked = {"appId": app_id, "limit": limit, **({"userId": user_id} if user_id else {})}
    while True:
        reply = await client.get(GROUPS, params=asked)
        assert reply.status_code == 200, reply.text
        page = reply.json()["data"]
        assert page.keys() == {"groups", "hasMore"}
        groups += page["groups"]
        assert len(page["groups"]) == limit or not page["hasMore"]
        if not page["hasMore"]:
            return groups
        asked["after"] = page["groups"][-1]["newMessage"]["messageId"]


async def test_a_group_that_gets_a_message_is_not_listed_on_later_pages(
    client: httpx.AsyncClient,
    insert_messages: Callable[[Rows], Awaitable[None]],
    messages: Rows,
    two_apps: tuple[str, str],
) -> None:
    asked: dict[str, Any] = {"appId": two_apps[0], "limit": 4}
    whole = await all_groups(client, two_apps[0], None, 500)
    first = (await client.get(GROUPS, params=asked)).json()["data"]["groups"]
    moved = whole[3]  # the last one of the page: its place must not be asked for anew
    late: dict[str, Any] = {**messages[0], "app_id": two_apps[0], "group_id": moved["groupId"]}
    await insert_messages(
        [{**late, "message_id": late["message_id"] ^ 1, "create_time": 2 * late["create_time"]}]
    )
    asked["after"] = first[-1]["newMessage"]["messageId"]
    second = (await client.get(GROUPS, params=asked)).json()["data"]["groups"]
    assert [*first, *second] == whole[:8]


async def test_pages_of_groups_start_from_a_message_of_the_app(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    other = next(row["message_id"] for row in messages if row["app_id"] == two_apps[1])
    for user in ({}, {"userId": "g"}):
        reply = await client.get(GROUPS, params={"appId": two_apps[0], "after": str(other), **user})
        assert (reply.status_code, reply.json()["code"]) == (404, 40401)


async def test_an_unknown_app_or_user_has_no_groups(client: httpx.AsyncClient, messages: Rows) -> None:
    for asked in ({"appId": "no-such-app"}, {"appId": messages[0]["app_id"], "userId": "nobody"}):
        reply = await client.get(GROUPS, params=asked)
        assert reply.json()["data"] == {"groups": [], "hasMore": False}


async def test_the_groups_of_each_user_match_the_model(client: httpx.AsyncClient, messages: Rows) -> None:
    for app_id, user_id in {(row["app_id"], row["user_id"]) for row in messages}:
        of_app = [row for row in messages if row["app_id"] == app_id]
        names = {row["group_id"] for row in of_app if row["user_id"] == user_id}
        newest = {name: max((r for r in of_app if r["group_id"] == name), key=place) for name in names}

        found = (await client.get(PATH, params={"appId": app_id, "userId": user_id})).json()["data"]

        assert [group["groupId"] for group in found] == sorted(
            names, key=lambda name: place(newest[name]), reverse=True
        )
        for group in found:
            row = newest[group["groupId"]]
            assert group.keys() == {"groupId", "newMessage", "updateTime", "messageTotal"}
            assert group["updateTime"] == row["create_time"]
            assert group["messageTotal"] == sum(r["group_id"] == group["groupId"] for r in of_app)
            assert group["newMessage"]["messageId"] == str(row["message_id"])
            assert group["newMessage"]["content"] == (row["content"] if row["status"] else "")
            assert group["newMessage"]["status"] == row["status"]


async def test_a_recalled_newest_message_is_shown_without_content(
    client: httpx.AsyncClient,
    insert_messages: Callable[[Rows], Awaitable[None]],
    messages: Rows,
    two_apps: tuple[str, str],
) -> None:
    newest = max((row for row in messages if row["app_id"] == two_apps[0]), key=place)
    recalled = {
        **newest,
        "message_id": newest["message_id"] ^ 1,
        "create_time": newest["create_time"] + 1,
        "content": "not to be read",
        "recall_time": newest["create_time"] + 2,
        "status": 0,
    }
    await insert_messages([recalled])
    reply = await client.get(PATH, params={"appId": two_apps[0], "userId": newest["user_id"]})
    message = reply.json()["data"][0]["newMessage"]
    assert message["messageId"] == str(recalled["message_id"])
    assert (message["content"], message["status"]) == ("", 0)
    assert "not to be read" not in reply.text


async def test_groups_are_found_after_skipped_messages(
    client: httpx.AsyncClient,
    insert_messages: Callable[[Rows], Awaitable[None]],
    messages: Rows,
    two_apps: tuple[str, str],
) -> None:
    first = messages[0]["message_id"] // 2
    totals = {"a": LEAP - 1, "b": 1, "c": 2 * LEAP + 1, "d": 1, "z🙃": LEAP}
    names = [name for name, total in totals.items() for _ in range(total)]
    template = {**messages[0], "app_id": two_apps[0], "user_id": "leaper", "recall_time": 0, "status": 1}
    await insert_messages(
        [{**template, "group_id": n, "message_id": first + place} for place, n in enumerate(names)]
    )
    reply = await client.get(PATH, params={"appId": two_apps[0], "userId": "leaper"})
    groups = reply.json()["data"]
    assert [(group["groupId"], group["messageTotal"]) for group in groups] == [*reversed(totals.items())]


async def test_a_user_who_wrote_nothing_has_no_groups(client: httpx.AsyncClient, messages: Rows) -> None:
    reply = await client.get(PATH, params={"appId": messages[0]["app_id"], "userId": "nobody"})
    assert reply.json()["data"] == []


async def test_a_group_whose_newest_message_was_purged_is_left_out(
    client: httpx.AsyncClient, database: Database, messages: Rows, two_apps: tuple[str, str]
) -> None:
    of_app = [row for row in messages if row["app_id"] == two_apps[0]]
    purged = max((row for row in of_app if row["group_id"] == "g"), key=place)
    async with database.session() as session:
        await session.execute(f"DELETE FROM {MESSAGES} WHERE message_id = ?", (purged["message_id"],))
    reply = await client.get(PATH, params={"appId": two_apps[0], "userId": "g"})
    names = {row["group_id"] for row in of_app if row["user_id"] == "g"}
    assert {group["groupId"] for group in reply.json()["data"]} == names - {"g"}
    for user in (None, "g"):
        listed = await all_groups(client, two_apps[0], user, 500)
        assert "g" not in {group["groupId"] for group in listed}
