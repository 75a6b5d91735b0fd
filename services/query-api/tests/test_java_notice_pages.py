"""Compares numbered pages of notices with a simple model, on both kinds of database."""

from typing import Any

import httpx
import pytest

Rows = list[dict[str, Any]]

CALLS = {
    "/notice/information/findByGroupId": ("group_id",),
    "/notice/information/findByUserId": ("user_id",),
    "/notice/information/findByGroupIdAndUserId": ("group_id", "user_id"),
}
PARAMETER = {"group_id": "groupId", "user_id": "userId"}
WINDOWS: list[dict[str, int]] = [
    {},
    {"startTime": 1_700_000_000_003, "endTime": 1_700_000_000_017},
    {"startTime": 1_700_000_000_009, "endTime": 1_700_000_000_009},
]


def expected(rows: Rows, owner: dict[str, str], window: dict[str, int]) -> Rows:
    start, end = window.get("startTime", 0), window.get("endTime", 2**63 - 1)
    found = [
        row
        for row in rows
        if row["status"] and start <= row["create_time"] < end and owner.items() <= row.items()
    ]
    found.sort(key=lambda row: (row["create_time"], row["information_id"]), reverse=True)
    return [
        {
            "informationId": str(row["information_id"]),
            "appId": row["app_id"],
            "groupId": row["group_id"],
            "userId": row["user_id"],
            "title": row["title"],
            "content": row["content"],
            "createTime": row["create_time"],
            "deleteTime": 0,
            "jumpUrl": row["jump_url"],
            "status": 1,
            "type": row["type"],
        }
        for row in found
    ]


async def page(client: httpx.AsyncClient, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    reply = await client.get(path, params=parameters)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


@pytest.mark.parametrize(("path", "columns"), CALLS.items())
async def test_every_list_matches_the_model(
    client: httpx.AsyncClient, notices: Rows, path: str, columns: tuple[str, ...]
) -> None:
    for values in {tuple(row[column] for column in ("app_id", *columns)) for row in notices}:
        owner = dict(zip(("app_id", *columns), values, strict=True))
        asked = {"appId": values[0], **{PARAMETER[column]: owner[column] for column in columns}}
        wanted = expected(notices, owner, {})
        found = await page(client, path, {**asked, "pageSize": 500})
        assert found == {"total": len(wanted), "pageInformationList": wanted}


@pytest.mark.parametrize(("path", "columns"), CALLS.items())
async def test_pages_concatenate_to_the_whole(
    client: httpx.AsyncClient,
    notices: Rows,
    two_apps: tuple[str, str],
    path: str,
    columns: tuple[str, ...],
    subtests: pytest.Subtests,
) -> None:
    for window in WINDOWS:
        with subtests.test(str(window)):
            asked = {"appId": two_apps[0], **{PARAMETER[column]: "g" for column in columns}, **window}
            wanted = expected(notices, {"app_id": two_apps[0], **dict.fromkeys(columns, "g")}, window)
            shown: Rows = []
            for number in range(1, len(wanted) // 7 + 3):
                found = await page(client, path, {**asked, "pageSize": 7, "pageNum": number})
                assert found["total"] == len(wanted)
                shown += found["pageInformationList"]
            assert shown == wanted


async def test_page_sizes_of_zero_and_minus_one(
    client: httpx.AsyncClient, notices: Rows, two_apps: tuple[str, str]
) -> None:
    asked = {"appId": two_apps[0], "groupId": "g"}
    whole = await page(client, "/notice/information/findByGroupId", {**asked, "pageSize": 10_000})
    assert len(whole["pageInformationList"]) == whole["total"] > 66
    found = await page(client, "/notice/information/findByGroupId", {**asked, "pageSize": -1})
    assert found == whole
    found = await page(client, "/notice/information/findByGroupId", {**asked, "pageSize": 0})
    assert found == {"total": whole["total"], "pageInformationList": []}


@pytest.mark.parametrize("path", CALLS)
async def test_a_page_below_the_first_is_the_first(
    client: httpx.AsyncClient, notices: Rows, two_apps: tuple[str, str], path: str
) -> None:
    asked = {"appId": two_apps[0], "groupId": "g", "userId": "g", "pageSize": 3}
    first = await page(client, path, {**asked, "pageNum": 1})
    assert len(first["pageInformationList"]) == 3
    for number in (0, -1, -(2**31)):
        assert await page(client, path, {**asked, "pageNum": number}) == first
