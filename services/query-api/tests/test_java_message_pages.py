"""Compares numbered pages of messages with a simple model, on both kinds of database."""

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from imc_testkit.views import message_view

Rows = list[dict[str, Any]]

WINDOWS: list[dict[str, int]] = [
    {},
    {"startTime": 1_700_000_000_005},
    {"endTime": 1_700_000_000_013},
    {"startTime": 1_700_000_000_003, "endTime": 1_700_000_000_004},
    {"startTime": 1_700_000_000_003, "endTime": 1_700_000_000_017},
    {"startTime": 0, "endTime": 1_700_000_000_019},
    {"startTime": 0, "endTime": 1_700_000_000_020},
    {"startTime": 1_700_000_000_009, "endTime": 1_700_000_000_009},
    {"startTime": 1_700_000_000_009, "endTime": 5},
    {"startTime": 2**63 - 1},
]
CALLS = {
    "/chat/message/findByGroupId": ("group_id",),
    "/chat/message/findByUserId": ("user_id",),
    "/chat/message/findByGroupIdAndUserId": ("group_id", "user_id"),
}
PARAMETER = {"group_id": "groupId", "user_id": "userId"}


def expected(rows: Rows, matches: Callable[[dict[str, Any]], bool], window: dict[str, int]) -> Rows:
    start, end = window.get("startTime", 0), window.get("endTime", 2**63 - 1)
    found = [row for row in rows if matches(row) and start <= row["create_time"] < end]
    found.sort(key=lambda row: (row["create_time"], row["message_id"]))
    return [message_view(row) for row in found]


async def page(client: httpx.AsyncClient, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    reply = await client.get(path, params=parameters)
    body = reply.json()
    assert reply.status_code == 200, body
    assert {**body, "data": None} == {"success": True, "code": 0, "message": "success", "data": None}
    assert body["data"].keys() == {"total", "pageMessageList"}
    return body["data"]


async def all_pages(client: httpx.AsyncClient, path: str, parameters: dict[str, Any]) -> Rows:
    shown: Rows = []
    for number in itertools.count(1):
        found = (await page(client, path, {**parameters, "pageNum": number}))["pageMessageList"]
        shown += found
        if len(found) < parameters["pageSize"]:
            return shown
    raise AssertionError("unreachable")


@pytest.mark.parametrize(("path", "columns"), CALLS.items())
async def test_every_history_matches_the_model(
    client: httpx.AsyncClient, messages: Rows, path: str, columns: tuple[str, ...]
) -> None:
    for owner in {tuple(row[column] for column in ("app_id", *columns)) for row in messages}:
        asked = {"appId": owner[0], **{PARAMETER[c]: v for c, v in zip(columns, owner[1:], strict=True)}}
        wanted = expected(
            messages, lambda row, owner=owner: tuple(row[c] for c in ("app_id", *columns)) == owner, {}
        )
        found = await page(client, path, {**asked, "pageSize": 500})
        assert found == {"total": len(wanted), "pageMessageList": wanted}


@pytest.mark.parametrize(("path", "columns"), CALLS.items())
async def test_pages_concatenate_to_the_whole(
    client: httpx.AsyncClient,
    messages: Rows,
    two_apps: tuple[str, str],
    path: str,
    columns: tuple[str, ...],
    subtests: pytest.Subtests,
) -> None:
    for window in WINDOWS:
        with subtests.test(str(window)):
            asked = {"appId": two_apps[0], **{PARAMETER[column]: "g" for column in columns}, **window}
            wanted = expected(
                messages,
                lambda row: row["app_id"] == two_apps[0] and all(row[column] == "g" for column in columns),
                window,
            )
            for size in (7, 61):
                assert await all_pages(client, path, {**asked, "pageSize": size}) == wanted
            for number in (1, 2, 3, 1000):
                found = await page(client, path, {**asked, "pageSize": 61, "pageNum": number})
                assert found["total"] == len(wanted)


@pytest.mark.parametrize("path", CALLS)
async def test_an_unknown_group_or_user_has_no_messages(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    nothing = {"total": 0, "pageMessageList": []}
    asked = {"groupId": "nobody", "userId": "nobody"}
    assert await page(client, path, {**asked, "appId": two_apps[0]}) == nothing
    assert await page(client, path, {**asked, "appId": "no-such-app", "pageNum": 9}) == nothing


@pytest.mark.parametrize("path", CALLS)
async def test_the_total_is_the_same_on_each_page(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    asked = {"appId": two_apps[0], "groupId": "g", "userId": "g"}
    total = (await page(client, path, asked))["total"]
    assert total > 3
    for number in (1, 2, 900, 2_000_000_000):
        for size in (0, 3):
            found = await page(client, path, {**asked, "pageSize": size, "pageNum": number})
            assert found["total"] == total
            assert len(found["pageMessageList"]) == (size if number < 900 else 0)


@pytest.mark.parametrize("path", CALLS)
async def test_a_page_size_of_minus_one_gives_all_messages(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    asked = {"appId": two_apps[0], "groupId": "g", "userId": "g"}
    large = await page(client, path, {**asked, "pageSize": 10_000})
    assert len(large["pageMessageList"]) == large["total"]
    for number in (-1, 1, 7):
        assert await page(client, path, {**asked, "pageSize": -1, "pageNum": number}) == large


@pytest.mark.parametrize("path", CALLS)
async def test_the_largest_page_of_the_largest_size_is_empty(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    asked = {"appId": two_apps[0], "groupId": "g", "userId": "g", "pageNum": 2**31 - 1, "pageSize": 10_000}
    assert (await page(client, path, asked))["pageMessageList"] == []


@pytest.mark.parametrize("path", CALLS)
async def test_empty_repeated_and_unknown_parameters_are_accepted(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    asked = f"{path}?appId={two_apps[0]}&groupId=g&userId=g"
    plain = (await client.get(asked)).json()
    assert len(plain["data"]["pageMessageList"]) == 20
    for same in (
        "&pageNum=&pageSize=&startTime=&endTime=",
        "&pageNum=0",
        "&pageNum=-5",
        "&pageNum=1&pageSize=20&startTime=0&endTime=9223372036854775807",
        "&pageNum=%201&pageSize=+2%200&startTime=-0&endTime=0x7fffffffffffffff",
        "&pageNum=%D9%A1&pageSize=%2314&startTime=-9223372036854775808",
        "&pageSize=3&pageSize=20",
        "&appId=other&appId=" + two_apps[0],
        "&content=x&unknown=%00&pagenum=7&withTotal=false",
    ):
        assert (await client.get(asked + same)).json() == plain, same
