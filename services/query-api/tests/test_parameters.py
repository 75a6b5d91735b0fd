"""Tests refusals of parameters, which need no database."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import Request
from imc_query_api.http.java_door.parameters import OfGroup
from imc_query_api.http.parameters import read
from imc_query_api.http.v1.parameters import PageOfMessages
from imc_query_api.queries.selection import Times, Window
from imc_service.auth.grant import EVERYTHING
from imc_service.auth.middleware import STATE

V1_MESSAGES = "/v1/queries/messages"
V1_MESSAGE = "/v1/queries/message"
V1_GROUPS = "/v1/queries/groups"
V1_NOTICES = "/v1/queries/notices"
JAVA_MESSAGES = "/chat/message/findByGroupId"
JAVA_BEFORE = "/chat/message/findBeforeByMessageId"
JAVA_NOTICES = "/notice/information/findByGroupIdAndUserId"
JAVA_GROUPS = "/chat/group/findGroupListByUserId"

REQUIRED = {
    V1_MESSAGES: ["appId"],
    V1_MESSAGE: ["appId", "messageId"],
    V1_GROUPS: ["appId"],
    V1_NOTICES: ["appId"],
    JAVA_MESSAGES: ["appId", "groupId"],
    "/chat/message/findByUserId": ["appId", "userId"],
    "/chat/message/findByGroupIdAndUserId": ["appId", "groupId", "userId"],
    JAVA_BEFORE: ["appId", "groupId", "messageId"],
    "/chat/message/findAfterByMessageId": ["appId", "groupId", "messageId"],
    JAVA_GROUPS: ["appId", "userId"],
    "/notice/information/findByGroupId": ["appId", "groupId"],
    "/notice/information/findByUserId": ["appId", "userId"],
    JAVA_NOTICES: ["appId", "groupId", "userId"],
}
GOOD = {"appId": "app", "groupId": "group", "userId": "user", "messageId": "1"}

IDENTIFIER = "1 to 127 characters, no control characters, no space at either end"
WHOLE = "a whole number from"
ID = "the decimal id as a string, 1 to 9223372036854775807"
BAD: list[tuple[str, str, Any, str]] = [
    (V1_MESSAGES, "appId", " a", IDENTIFIER),
    (V1_MESSAGES, "appId", "a" * 128, IDENTIFIER),
    (V1_MESSAGES, "groupId", "a" * 128, IDENTIFIER),
    (V1_MESSAGES, "groupId", "群" * 128, IDENTIFIER),
    (V1_MESSAGES, "groupId", " a", IDENTIFIER),
    (V1_MESSAGES, "groupId", "a\u3000", IDENTIFIER),
    (V1_MESSAGES, "groupId", "a\0b", IDENTIFIER),
    (V1_MESSAGES, "groupId", "a\x7fb", IDENTIFIER),
    (V1_NOTICES, "userId", "a\n", IDENTIFIER),
    (V1_GROUPS, "userId", "\t", IDENTIFIER),
    (V1_MESSAGES, "limit", 0, f"{WHOLE} 1 to 500"),
    (V1_MESSAGES, "limit", 501, f"{WHOLE} 1 to 500"),
    (V1_GROUPS, "limit", -1, f"{WHOLE} 1 to 500"),
    (V1_NOTICES, "limit", "many", f"{WHOLE} 1 to 500"),
    (V1_MESSAGES, "limit", "1.0", WHOLE),
    (V1_MESSAGES, "limit", "١", WHOLE),
    (V1_MESSAGES, "limit", "1e3", WHOLE),
    (V1_MESSAGES, "limit", "9" * 5000, WHOLE),
    (V1_MESSAGES, "startTime", -1, "milliseconds"),
    (V1_MESSAGES, "startTime", 2**63, "milliseconds, a whole number from 0 to 9223372036854775807"),
    (V1_NOTICES, "endTime", "2026-01-01", "milliseconds"),
    (V1_NOTICES, "endTime", 2**63, "milliseconds"),
    (V1_MESSAGES, "withTotal", "maybe", "true or false"),
    (V1_NOTICES, "deleted", "maybe", "true or false"),
    (V1_MESSAGE, "messageId", 0, ID),
    (V1_MESSAGE, "messageId", 2**63, ID),
    (V1_MESSAGE, "messageId", "x", ID),
    (V1_MESSAGES, "before", "x", ID),
    (V1_MESSAGES, "after", 2**63, ID),
    (V1_NOTICES, "before", "1.0", ID),
    (V1_GROUPS, "after", 0, ID),
    (JAVA_MESSAGES, "appId", "a" * 128, IDENTIFIER),
    (JAVA_MESSAGES, "groupId", "a\u3000", IDENTIFIER),
    (JAVA_GROUPS, "userId", "\t", IDENTIFIER),
    (JAVA_MESSAGES, "pageNum", 2**31, f"{WHOLE} -2147483648 to 2147483647"),
    (JAVA_MESSAGES, "pageNum", "1.0", WHOLE),
    (JAVA_MESSAGES, "pageNum", "1_0", WHOLE),
    (JAVA_MESSAGES, "pageNum", "0x", WHOLE),
    (JAVA_MESSAGES, "pageNum", " ", WHOLE),
    (JAVA_MESSAGES, "pageNum", "null", WHOLE),
    (JAVA_MESSAGES, "pageNum", "1e3", WHOLE),
    (JAVA_MESSAGES, "pageNum", "9" * 5000, WHOLE),
    (JAVA_MESSAGES, "pageSize", -2, f"{WHOLE} -1 to 10000"),
    (JAVA_MESSAGES, "pageSize", 10_001, f"{WHOLE} -1 to 10000"),
    (JAVA_BEFORE, "pageSize", 10_001, f"{WHOLE} -1 to 10000"),
    (JAVA_NOTICES, "pageSize", "many", f"{WHOLE} -1 to 10000"),
    (JAVA_MESSAGES, "startTime", 2**63, "milliseconds, a whole number from -9223372036854775808 to "),
    (JAVA_NOTICES, "endTime", "2026-01-01", "milliseconds"),
    (JAVA_NOTICES, "endTime", -(2**63) - 1, "milliseconds"),
]


@pytest.fixture(scope="module")
async def client(serving: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A query-api without a database, which refused requests don't reach."""
    async with serving("mysql://nobody@127.0.0.1:9/nothing") as client:
        yield client


def code_of(path: str, code: int) -> int:
    """The code of a refusal: on the Java door, it is always the same."""
    return code if path.startswith("/v1/") else -1


async def assert_refused(client: httpx.AsyncClient, path: str, parameters: dict[str, Any], says: str) -> None:
    reply = await client.get(path, params=parameters)
    body = reply.json()
    assert reply.status_code == 400
    assert (body["success"], body["code"], body["data"]) == (False, code_of(path, 40001), None)
    assert says in body["message"]


async def test_a_bad_value_is_refused_with_field_and_bound_but_not_shown(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for path, field, value, bound in BAD:
        with subtests.test(field=field, value=str(value)[:20]):
            says = f"{field} is not valid: it must be {bound}"
            good = {name: GOOD[name] for name in {*REQUIRED[path], "groupId"}}
            reply = await client.get(path, params={**good, field: value})
            says = says if says in reply.text else f"{field} is too long: it must be {bound}"
            await assert_refused(client, path, {**good, field: value}, says)
            if len(str(value)) > 3:
                assert str(value) not in reply.json()["message"].removeprefix(says)


async def test_a_required_parameter_that_is_absent_or_empty_is_refused(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for path, fields in REQUIRED.items():
        for field in fields:
            with subtests.test(path=path, field=field):
                rest = {name: value for name, value in GOOD.items() if name != field}
                await assert_refused(client, path, rest, f"{field} is missing: it must be ")
                await assert_refused(client, path, {**rest, field: ""}, f"{field} is missing: it must be ")


async def test_v1_needs_a_group_or_a_user(client: httpx.AsyncClient) -> None:
    for path in (V1_MESSAGES, V1_NOTICES):
        for rest in ({}, {"groupId": ""}, {"before": "1"}):
            says = f"groupId or userId is missing: each must be {IDENTIFIER}"
            await assert_refused(client, path, {"appId": "app", **rest}, says)


async def test_v1_takes_only_one_of_before_and_after(client: httpx.AsyncClient) -> None:
    for path in (V1_MESSAGES, V1_NOTICES):
        asked = {"appId": "app", "groupId": "g", "before": "1", "after": "1"}
        await assert_refused(client, path, asked, "before and after are both given")


# Queries as clients may send them, without escapes, and the group that each asks for.
UNESCAPED = [
    ("appId=app&groupId=group", "group"),
    ("&appId=app&&groupId=group&", "group"),
    ("appId=app&groupId=a=b=", "a=b="),
    ("groupId=first&appId=app&groupId=last", "last"),
    ("appId=app&groupId=group&limit&withTotal=&=x&other", "group"),
    ("appId=app&groupId=a;b?c/d", "a;b?c/d"),
    ("appId=app&groupId=群", "群"),
    ("appId=app&groupId=group&limit=5&limit=", "group"),
]


def test_a_query_is_parsed_the_same_with_and_without_escapes() -> None:
    def asked(query: str) -> PageOfMessages:
        return read(
            Request({"type": "http", "query_string": query.encode(), "state": {STATE: EVERYTHING}}),
            PageOfMessages,
        )

    for query, group in UNESCAPED:
        expected = PageOfMessages.model_validate({"appId": "app", "groupId": group})
        assert asked(query) == expected
        assert asked(query.replace("appId=app", "app%49d=%61pp")) == expected
        assert asked(f"{query}&other=a+b") == expected


# Numbers as Spring reads them.
SPRING_NUMBERS = {
    "7": 7,
    "+7": 7,
    "-0": 0,
    "007": 7,
    " 7 ": 7,
    "1 0": 10,
    "\t7\n": 7,
    "0x1F": 31,
    "0X1f": 31,
    "#1F": 31,
    "-0x1": -1,
    "-3": -3,
    "٣": 3,
}


def test_numbers_on_the_java_door_are_read_as_spring_reads_them() -> None:
    for text, number in SPRING_NUMBERS.items():
        asked = OfGroup.model_validate({"appId": "app", "groupId": "g", "pageNum": text, "startTime": text})
        assert (asked.page_num, asked.start_time) == (number, number), text


def test_a_page_of_the_java_door() -> None:
    def window(**given: Any) -> Window:
        return OfGroup.model_validate({"appId": "app", "groupId": "g", **given}).window()

    assert window() == Window(20, 0, Times(0, 2**63 - 1))
    assert window(pageNum="3", pageSize="7", startTime="1", endTime="2") == Window(7, 14, Times(1, 2))
    for first in ("1", "0", "-1", "-2147483648"):
        assert window(pageNum=first) == Window(20)
    assert window(pageSize="0", pageNum="9") == Window(0)
    assert window(pageSize="-1", pageNum="9") == Window(10_000)


async def test_the_last_value_of_a_repeated_parameter_counts(client: httpx.AsyncClient) -> None:
    for path, name, good in ((V1_MESSAGES, "limit", "5"), (JAVA_MESSAGES, "pageSize", "5")):
        repeated = httpx.QueryParams([*GOOD.items(), (name, good), (name, "x")])
        reply = await client.get(path, params=repeated)
        assert reply.json()["message"].startswith(f"{name} is not valid")


async def test_an_empty_optional_parameter_counts_as_absent(client: httpx.AsyncClient) -> None:
    names = "startTime endTime limit before after withTotal deleted pageNum pageSize"
    optional = dict.fromkeys(names.split(), "")
    for path in (V1_MESSAGES, V1_NOTICES, V1_GROUPS, JAVA_MESSAGES, JAVA_NOTICES):
        reply = await client.get(path, params={**GOOD, **optional})
        assert reply.status_code == 503  # nothing was wrong with it: there is no database


async def test_malformed_escapes_are_not_a_server_error(client: httpx.AsyncClient) -> None:
    for path in (V1_MESSAGES, JAVA_MESSAGES):
        for query in ("appId=%00", "appId=app&groupId=%00", "&&==&%", "appId"):
            reply = await client.get(f"{path}?{query}")
            assert (reply.status_code, reply.json()["code"]) == (400, code_of(path, 40001)), query


async def test_a_query_that_is_not_utf_8_is_refused(client: httpx.AsyncClient) -> None:
    for path in (V1_MESSAGES, JAVA_MESSAGES):
        for query in ("appId=a&groupId=%FF", "appId=a&groupId=g&x=%ED%A0%80", "appId=%C3&groupId=g"):
            reply = await client.get(f"{path}?{query}")
            assert (reply.status_code, reply.json()["code"]) == (400, code_of(path, 40001)), query
            assert reply.json()["message"] == "the query is not UTF-8, or its escapes are not"


async def test_other_methods_are_refused_in_the_envelope(client: httpx.AsyncClient) -> None:
    for path in REQUIRED:
        reply = await client.post(path, json={})
        assert (reply.status_code, reply.json()["code"]) == (405, code_of(path, 40500))
        assert "GET" in reply.headers["Allow"]


async def test_other_paths_are_refused_in_the_envelope(client: httpx.AsyncClient) -> None:
    for path in (
        *("/chat", "/chat/message", "/chat/message/findByGroup", "/chat/message/findByGroupId/x"),
        *("/v1", "/v1/queries", "/v1/queries/messages/", "/v1/queries/message/1"),
    ):
        reply = await client.get(path)
        code = -1 if path.startswith("/chat/") else 40400
        assert (reply.status_code, reply.json()["code"]) == (404, code)
        assert reply.json()["success"] is False
