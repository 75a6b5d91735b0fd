"""Tests the Java door as its clients use it, against a real process."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_contracts.schema import GROUPS, MESSAGES, NOTICES
from imc_service.database.database import Database
from imc_testkit.calls import JAVA_QUERIES
from imc_testkit.processes import Process
from imc_testkit.tokens import JWT, OFF, bearer

Rows = list[dict[str, Any]]

CALLS = tuple(call.path for call in JAVA_QUERIES)


@pytest.fixture(scope="module")
async def process(store_url: str) -> AsyncGenerator[Process]:
    async with Process("imc-query-api", {**OFF, "IMC_DATABASE_URL": store_url}) as process:
        await process.ready()
        yield process


@pytest.fixture
async def http(process: Process) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
        yield client


@pytest.fixture
def asked(messages: Rows, notices: Rows, two_apps: tuple[str, str]) -> dict[str, str]:
    """Parameters for any call."""
    of_app = [row for row in messages if row["app_id"] == two_apps[0]]
    message_id = next(row["message_id"] for row in of_app if row["group_id"] == "g")
    return {"appId": two_apps[0], "groupId": "g", "userId": "g", "messageId": str(message_id)}


async def test_replies_have_exactly_the_fields_and_types_of_the_java_version(
    http: httpx.AsyncClient, asked: dict[str, str]
) -> None:
    for path in CALLS:
        reply = (await http.get(path, params=asked)).json()
        assert list(reply) == ["success", "code", "message", "data"]
        assert {**reply, "data": None} == {"success": True, "code": 0, "message": "success", "data": None}
        data = reply["data"]
        if isinstance(data, dict):
            assert type(data["total"]) is int
            [name] = data.keys() - {"total"}
            assert name == ("pageInformationList" if path.startswith("/notice") else "pageMessageList")
            data = data[name]
        assert data
        for item in data:
            assert_java_item(path, item)


def assert_java_item(path: str, item: dict[str, Any]) -> None:
    if path.startswith("/chat/group"):
        types = {"groupId": str, "newMessage": dict, "updateTime": int, "messageTotal": int}
        assert {name: type(value) for name, value in item.items()} == types
        item = item["newMessage"]
    times = {"createTime": int, "status": int}
    texts = dict.fromkeys(("appId", "groupId", "userId", "content"), str)
    if path.startswith("/notice"):
        fixed = {**texts, **times, "informationId": str, "deleteTime": int}
        optional = {"type": int, "title": str, "jumpUrl": str}
    else:
        fixed = {**texts, **times, "messageId": str, "recallTime": int}
        optional = {"type": int, "recallCause": str}
    assert item.keys() == fixed.keys() | optional.keys()
    assert all(type(item[name]) is kind for name, kind in fixed.items())
    assert all(item[name] is None or type(item[name]) is kind for name, kind in optional.items())


async def test_a_path_may_end_in_a_slash(http: httpx.AsyncClient, asked: dict[str, str]) -> None:
    for path in CALLS:
        plain = await http.get(path, params=asked)
        assert plain.status_code == 200
        assert (await http.get(f"{path}/", params=asked)).json() == plain.json()
        assert (await http.get(f"{path}//", params=asked)).status_code == 404


async def test_a_get_may_bear_a_body_which_is_ignored(http: httpx.AsyncClient, asked: dict[str, str]) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        yield b"appId="
        yield b"other" * 20_000

    bodies: list[dict[str, Any]] = [
        {"files": {"appId": (None, "other"), "pageSize": (None, "1")}},
        {"data": {"appId": "other"}},
        {"json": {"appId": "other"}},
        {"content": b"\xff no text", "headers": {"Content-Type": "application/json; charset=x"}},
        {"content": chunks()},
    ]
    for path in CALLS:
        plain = (await http.get(path, params=asked)).json()
        for body in bodies[:-1]:
            assert (await http.request("GET", path, params=asked, **body)).json() == plain
        assert (await http.request("GET", path, params=asked, content=chunks())).json() == plain


async def test_head_and_options_are_answered(http: httpx.AsyncClient, asked: dict[str, str]) -> None:
    for path in CALLS:
        for each in (path, f"{path}/"):
            head = await http.head(each, params=asked)
            assert (head.status_code, head.content) == (200, b"")
            options = await http.options(each)
            assert options.status_code == 200
            assert options.headers["Allow"] == "GET, HEAD, OPTIONS"
            assert options.json() == {"success": True, "code": 0, "message": "success", "data": None}


async def test_what_is_malformed_is_refused_with_code_minus_one(
    http: httpx.AsyncClient, asked: dict[str, str]
) -> None:
    for path in CALLS:
        for wrong in ({"appId": ""}, {"appId": " a"}, {"appId": "a\0"}):
            reply = await http.get(path, params={**asked, **wrong})
            body = reply.json()
            assert reply.status_code == 400
            assert (body["success"], body["code"], body["data"]) == (False, -1, None)
            assert body["message"].startswith("appId ")


async def test_a_client_of_http_1_0_gets_long_pages(
    process: Process, messages: Rows, two_apps: tuple[str, str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    query = f"appId={two_apps[0]}&groupId=g&pageSize=10000"
    writer.write(f"GET /chat/message/findByGroupId?{query} HTTP/1.0\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    shown = json.loads(body)["data"]["pageMessageList"]
    assert len(shown) == sum(row["app_id"] == two_apps[0] and row["group_id"] == "g" for row in messages)


@pytest.fixture
async def many(database: Database, long_group: Rows, app_id: str) -> dict[str, str]:
    """Parameters for a group with 20,012 messages and 15,009 notices; the message is its first."""
    async with database.session() as session:
        for table, key in ((MESSAGES, "message_id"), (NOTICES, "information_id")):
            for shift in (10_000, 20_000, 30_000):
                await session.execute(
                    f"INSERT INTO {table} ({key}, app_id, group_id, user_id, content, create_time)"
                    f" SELECT message_id + {shift}, app_id, group_id, user_id, content, create_time"
                    f" FROM {MESSAGES} WHERE app_id = ? AND group_id = 'long' ORDER BY message_id LIMIT 5003",
                    (app_id,),
                )
        await session.execute(f"UPDATE {GROUPS} SET message_total = 20012 WHERE app_id = ?", (app_id,))
    return {"appId": app_id, "groupId": "long", "userId": "u", "messageId": str(long_group[0]["message_id"])}


def items_of(reply: httpx.Response) -> Rows:
    assert reply.status_code == 200, reply.text
    data = reply.json()["data"]
    [items] = [data] if isinstance(data, list) else [each for each in data.values() if each != data["total"]]
    return items


def assert_too_many(reply: httpx.Response) -> None:
    assert (reply.status_code, reply.json()["code"]) == (400, -1)
    assert "more than 10000 items" in reply.json()["message"]


async def test_all_items_are_refused_if_they_are_more_than_ten_thousand(
    http: httpx.AsyncClient, many: dict[str, str]
) -> None:
    for path in (
        "/chat/message/findByGroupId",
        "/chat/message/findAfterByMessageId",
        "/notice/information/findByGroupId",
    ):
        assert_too_many(await http.get(path, params={**many, "pageSize": -1}))
        assert len(items_of(await http.get(path, params={**many, "pageSize": 10_000}))) == 10_000


async def test_all_items_are_given_if_they_are_ten_thousand(
    http: httpx.AsyncClient, database: Database, many: dict[str, str]
) -> None:
    by_group, before = "/chat/message/findByGroupId", "/chat/message/findBeforeByMessageId"
    last = {"pageSize": 2, "pageNum": 5001}
    most, one_more = [
        each["messageId"] for each in items_of(await http.get(by_group, params={**many, **last}))
    ]
    everything = {**many, "pageSize": -1}
    assert len(items_of(await http.get(before, params={**everything, "messageId": most}))) == 10_000
    assert_too_many(await http.get(before, params={**everything, "messageId": one_more}))

    first, app_id = int(many["messageId"]), many["appId"]
    async with database.session() as session:
        for table, key, from_id in (
            (MESSAGES, "message_id", first + 10_000 + 4_997),
            (NOTICES, "information_id", first + 20_000 + 4_997),
        ):
            await session.execute(f"DELETE FROM {table} WHERE app_id = ? AND {key} >= ?", (app_id, from_id))
        await session.execute(f"UPDATE {GROUPS} SET message_total = 10000 WHERE app_id = ?", (app_id,))
    for path in (by_group, "/notice/information/findByGroupId"):
        reply = await http.get(path, params=everything)
        assert (len(items_of(reply)), reply.json()["data"]["total"]) == (10_000, 10_000)


async def test_tokens_hold_here_too(database_url: str) -> None:
    async with Process("imc-query-api", {**JWT, "IMC_DATABASE_URL": database_url}) as process:
        await process.ready()
        async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
            asked = {"appId": "shop", "groupId": "g", "userId": "u", "messageId": "1"}
            for path in CALLS:
                for headers, status in (
                    ({}, 401),
                    (bearer("other"), 403),
                    (bearer("shop"), 200),
                ):
                    reply = await client.get(path, params=asked, headers=headers)
                    assert reply.status_code == status
                    assert status == 200 or reply.json()["code"] == -1
