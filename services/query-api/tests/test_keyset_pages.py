"""Compares keyset pages of messages and notices with a simple model, on both kinds of database."""

from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import pytest
from imc_testkit.views import message_view

Rows = list[dict[str, Any]]

PARAMETER = {"group_id": "groupId", "user_id": "userId"}
OWNERS = [{"group_id": "g"}, {"user_id": "g"}, {"group_id": "g", "user_id": "g"}, {"group_id": "群 g"}]
TIMES: list[dict[str, int]] = [
    {},
    {"startTime": 1_700_000_000_005},
    {"startTime": 1_700_000_000_003, "endTime": 1_700_000_000_017},
    {"startTime": 1_700_000_000_009, "endTime": 1_700_000_000_010},
    {"startTime": 1_700_000_000_009, "endTime": 5},
]


@dataclass(frozen=True)
class Kind:
    """What is listed: messages oldest first, or notices newest first."""

    path: str
    items: str
    id_column: str
    id_field: str
    newest_first: bool


MESSAGES = Kind("/v1/queries/messages", "messages", "message_id", "messageId", False)
NOTICES = Kind("/v1/queries/notices", "notices", "information_id", "informationId", True)


class Histories:
    """Pages of one kind, and what they must be."""

    def __init__(self, client: httpx.AsyncClient, kind: Kind, rows: Rows, app_id: str) -> None:
        self.client, self.kind, self.app_id = client, kind, app_id
        self.rows = [row for row in rows if row["app_id"] == app_id]

    def ids(self, owner: dict[str, str], times: dict[str, int], *, deleted: bool = True) -> list[str]:
        """The ids of the whole history, oldest first."""
        start, end = times.get("startTime", 0), times.get("endTime", 2**63 - 1)
        found = [
            (row["create_time"], row[self.kind.id_column])
            for row in self.rows
            if owner.items() <= row.items() and start <= row["create_time"] < end
            if deleted or row["status"]
        ]
        return [str(key) for _, key in sorted(found)]

    async def page(self, owner: dict[str, str], **asked: Any) -> tuple[list[str], bool]:
        """The ids of a page, oldest first, and whether there are more."""
        data = await self.data(owner, **asked)
        items = [item[self.kind.id_field] for item in data[self.kind.items]]
        return items[::-1] if self.kind.newest_first else items, data["hasMore"]

    async def data(self, owner: dict[str, str], **asked: Any) -> dict[str, Any]:
        names = {PARAMETER[column]: value for column, value in owner.items()}
        reply = await self.client.get(self.kind.path, params={"appId": self.app_id, **names, **asked})
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]


@pytest.fixture(params=["messages", "notices"])
def histories(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, two_apps: tuple[str, str]
) -> Histories:
    kind = MESSAGES if request.param == "messages" else NOTICES
    return Histories(client, kind, request.getfixturevalue(request.param), two_apps[0])


@pytest.mark.parametrize("limit", [1, 7, 64, 65, 500])
async def test_pages_partition_the_history_in_either_direction(histories: Histories, limit: int) -> None:
    for owner in OWNERS:
        for times in TIMES if limit == 7 else TIMES[:1]:
            whole = histories.ids(owner, times)
            asked = {**times, "limit": limit, **({"deleted": True} if histories.kind is NOTICES else {})}

            backward, has_more = await histories.page(owner, **asked)
            while has_more:
                page, has_more = await histories.page(owner, before=backward[0], **asked)
                assert len(page) == limit or not has_more
                backward = page + backward
            assert backward == whole

            forward = whole[:1]
            has_more = bool(whole)
            while has_more:
                page, has_more = await histories.page(owner, after=forward[-1], **asked)
                assert len(page) == limit or not has_more
                forward += page
            assert forward == whole


async def test_pages_from_any_item_with_any_times_match_the_model(histories: Histories) -> None:
    chance = Random(5)
    for _ in range(80):
        owner = chance.choice(OWNERS)
        every = histories.ids(owner, {})
        anchor = chance.choice(every)
        start, end = (1_700_000_000_000 + chance.randrange(-2, 22) for _ in range(2))
        limit = chance.choice((1, 3, 20, 200))
        deleted = histories.kind is MESSAGES or chance.random() < 0.5
        inside = set(histories.ids(owner, {"startTime": start, "endTime": end}, deleted=deleted))
        older = [each for each in every[: every.index(anchor)] if each in inside]
        newer = [each for each in every[every.index(anchor) + 1 :] if each in inside]
        asked = {"startTime": start, "endTime": end, "limit": limit, "deleted": deleted}
        assert await histories.page(owner, before=anchor, **asked) == (older[-limit:], len(older) > limit)
        assert await histories.page(owner, after=anchor, **asked) == (newer[:limit], len(newer) > limit)
        everything = sorted(inside, key=every.index)
        newest = (everything[-limit:], len(everything) > limit)
        assert await histories.page(owner, **asked) == newest


async def test_the_default_is_the_newest_fifty(histories: Histories) -> None:
    owner = OWNERS[0]
    whole = histories.ids(owner, {}, deleted=histories.kind is MESSAGES)
    assert await histories.page(owner) == (whole[-50:], True)


async def test_an_anchor_of_another_app_group_or_user_is_refused(
    histories: Histories, two_apps: tuple[str, str]
) -> None:
    of_group = histories.ids({"group_id": "g"}, {})[0]
    code = 40401 if histories.kind is MESSAGES else 40402
    for asked in (
        {"appId": two_apps[1], "groupId": "g", "before": of_group},
        {"appId": two_apps[0], "groupId": "G", "after": of_group},
        {"appId": two_apps[0], "userId": "nobody", "before": of_group},
        {"appId": two_apps[0], "groupId": "g", "userId": "nobody", "before": of_group},
        {"appId": two_apps[0], "groupId": "g", "before": "1"},
    ):
        reply = await histories.client.get(histories.kind.path, params=asked)
        assert (reply.status_code, reply.json()["code"]) == (404, code), asked


async def test_an_unknown_group_has_no_items(histories: Histories) -> None:
    assert await histories.page({"group_id": "nobody"}) == ([], False)


async def test_the_total_of_messages_is_null_unless_requested(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    histories = Histories(client, MESSAGES, messages, two_apps[0])
    for owner in OWNERS:
        anchor = histories.ids(owner, {})[3]
        for times in TIMES:
            total = len(histories.ids(owner, times))
            for place in ({}, {"before": anchor}, {"after": anchor}):
                asked = {**times, **place, "limit": 3}
                bare = await histories.data(owner, **asked)
                assert bare["total"] is None
                counted = await histories.data(owner, **asked, withTotal=True)
                assert counted == {**bare, "total": total}


async def test_messages_are_shown_whole_and_recalled_ones_without_content(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    histories = Histories(client, MESSAGES, messages, two_apps[0])
    rows = {str(row["message_id"]): row for row in histories.rows}
    for limit in (60, 500):
        data = await histories.data({"group_id": "g"}, limit=limit)
        assert data.keys() == {"messages", "hasMore", "total"}
        assert {message["status"] for message in data["messages"]} == {0, 1}
        for message in data["messages"]:
            assert message == message_view(rows[message["messageId"]])
            one = await client.get(
                "/v1/queries/message", params={"appId": two_apps[0], "messageId": message["messageId"]}
            )
            assert one.json()["data"] == message


async def test_a_message_of_another_app_is_not_found(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    other = next(row["message_id"] for row in messages if row["app_id"] == two_apps[1])
    for message_id in (str(other), "1"):
        asked = {"appId": two_apps[0], "messageId": message_id}
        reply = await client.get("/v1/queries/message", params=asked)
        assert (reply.status_code, reply.json()["code"]) == (404, 40401)
        assert reply.json()["data"] is None


async def test_deleted_notices_are_listed_only_if_asked_for(
    client: httpx.AsyncClient, notices: Rows, two_apps: tuple[str, str]
) -> None:
    histories = Histories(client, NOTICES, notices, two_apps[0])
    rows = {str(row["information_id"]): row for row in histories.rows}
    for limit in (20, 500):
        for deleted in (None, False, True):
            asked = {} if deleted is None else {"deleted": deleted}
            data = await histories.data({"group_id": "g"}, limit=limit, **asked)
            assert data.keys() == {"notices", "hasMore"}
            assert {notice["status"] for notice in data["notices"]} == ({0, 1} if deleted else {1})
            for notice in data["notices"]:
                row = rows[notice["informationId"]]
                assert (notice["deleteTime"], notice["status"]) == (row["delete_time"], row["status"])
                assert (notice["content"], notice["title"]) == (row["content"], row["title"])
                assert notice["jumpUrl"] == row["jump_url"]
