"""Tests refusals of parameters, which need no database."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from fastapi import Request
from imc_query_api.http.parameters import OfGroup, read
from imc_service.auth.grant import EVERYTHING
from imc_service.auth.middleware import STATE

MESSAGES = "/chat/message/findByGroupId"
BEFORE = "/chat/message/findBeforeByMessageId"
NOTICES = "/notice/information/findByGroupIdAndUserId"
GROUPS = "/chat/group/findGroupListByUserId"

REQUIRED = {
    MESSAGES: ["appId", "groupId"],
    "/chat/message/findByUserId": ["appId", "userId"],
    "/chat/message/findByGroupIdAndUserId": ["appId", "groupId", "userId"],
    BEFORE: ["appId", "groupId", "messageId"],
    "/chat/message/findAfterByMessageId": ["appId", "groupId", "messageId"],
    GROUPS: ["appId", "userId"],
    "/notice/information/findByGroupId": ["appId", "groupId"],
    "/notice/information/findByUserId": ["appId", "userId"],
    NOTICES: ["appId", "groupId", "userId"],
}
GOOD = {"appId": "app", "groupId": "group", "userId": "user", "messageId": "1"}

IDENTIFIER = "1 to 127 characters, no control characters, no space at either end"
WHOLE = "a whole number from"
BAD: list[tuple[str, str, Any, str]] = [
    (MESSAGES, "appId", "a b", "1 to 127 of A-Z a-z 0-9 . _ ~ -"),
    (MESSAGES, "appId", "a" * 128, "1 to 127 of"),
    (MESSAGES, "appId", "应用", "1 to 127 of"),
    (MESSAGES, "appId", "{a}", "1 to 127 of"),
    (MESSAGES, "groupId", "a" * 128, IDENTIFIER),
    (MESSAGES, "groupId", "群" * 128, IDENTIFIER),
    (MESSAGES, "groupId", " a", IDENTIFIER),
    (MESSAGES, "groupId", "a\u3000", IDENTIFIER),
    (MESSAGES, "groupId", "a\0b", IDENTIFIER),
    (MESSAGES, "groupId", "a\x7fb", IDENTIFIER),
    (NOTICES, "userId", "a\n", IDENTIFIER),
    (GROUPS, "userId", "\t", IDENTIFIER),
    (MESSAGES, "pageNum", -1, f"{WHOLE} 0 to 2147483647"),
    (MESSAGES, "pageNum", 2**31, f"{WHOLE} 0 to 2147483647"),
    (MESSAGES, "pageNum", "1.0", WHOLE),
    (MESSAGES, "pageNum", "١", WHOLE),
    (MESSAGES, "pageNum", "1e3", WHOLE),
    (MESSAGES, "pageNum", "9" * 5000, WHOLE),
    (MESSAGES, "pageSize", 0, f"{WHOLE} 1 to 500"),
    (MESSAGES, "pageSize", 501, f"{WHOLE} 1 to 500"),
    (BEFORE, "pageSize", 501, f"{WHOLE} 1 to 500"),
    (NOTICES, "pageSize", "many", f"{WHOLE} 1 to 500"),
    (MESSAGES, "startTime", -1, "milliseconds"),
    (MESSAGES, "startTime", 2**63, "milliseconds, a whole number from 0 to 9223372036854775807"),
    (NOTICES, "endTime", "2026-01-01", "milliseconds"),
    (NOTICES, "endTime", 2**63, "milliseconds"),
    (MESSAGES, "withTotal", "maybe", "true or false"),
    (BEFORE, "messageId", 0, "the decimal id"),
    (BEFORE, "messageId", 2**63, "the decimal id as a string, 1 to 9223372036854775807"),
    (BEFORE, "messageId", "x", "the decimal id"),
]


@pytest.fixture(scope="module")
async def client(serving: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A query-api without a database, which refused requests don't reach."""
    async with serving("mysql://nobody@127.0.0.1:9/nothing") as client:
        yield client


async def assert_refused(client: httpx.AsyncClient, path: str, parameters: dict[str, Any], says: str) -> None:
    reply = await client.get(path, params=parameters)
    body = reply.json()
    assert reply.status_code == 400
    assert (body["success"], body["code"], body["data"]) == (False, 40001, None)
    assert says in body["message"]


async def test_a_bad_value_is_refused_with_field_and_bound_but_not_shown(
    client: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    for path, field, value, bound in BAD:
        with subtests.test(field=field, value=str(value)[:20]):
            says = f"{field} is not valid: it must be {bound}"
            reply = await client.get(path, params={**GOOD, field: value})
            says = says if says in reply.text else f"{field} is too long: it must be {bound}"
            await assert_refused(client, path, {**GOOD, field: value}, says)
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


# Queries as clients may send them, without escapes, and the group that each asks for.
UNESCAPED = [
    ("appId=app&groupId=group", "group"),
    ("&appId=app&&groupId=group&", "group"),
    ("appId=app&groupId=a=b=", "a=b="),
    ("groupId=first&appId=app&groupId=last", "last"),
    ("appId=app&groupId=group&pageSize&withTotal=&=x&other", "group"),
    ("appId=app&groupId=a;b?c/d", "a;b?c/d"),
    ("appId=app&groupId=group&pageSize=5&pageSize=", "group"),
]


def test_a_query_is_parsed_the_same_with_and_without_escapes() -> None:
    def asked(query: str) -> OfGroup:
        return read(
            Request({"type": "http", "query_string": query.encode(), "state": {STATE: EVERYTHING}}), OfGroup
        )

    for query, group in UNESCAPED:
        expected = OfGroup.model_validate({"appId": "app", "groupId": group})
        assert asked(query) == expected
        assert asked(query.replace("appId=app", "app%49d=%61pp")) == expected
        assert asked(f"{query}&other=a+b") == expected


async def test_the_last_value_of_a_repeated_parameter_counts(client: httpx.AsyncClient) -> None:
    repeated = httpx.QueryParams([*GOOD.items(), ("pageSize", "5"), ("pageSize", "0")])
    reply = await client.get(MESSAGES, params=repeated)
    assert reply.json()["message"].startswith("pageSize is not valid")


async def test_an_empty_optional_parameter_counts_as_absent(client: httpx.AsyncClient) -> None:
    optional = dict.fromkeys(("startTime", "endTime", "pageNum", "pageSize", "withTotal"), "")
    reply = await client.get(MESSAGES, params={**GOOD, **optional})
    assert reply.status_code == 503  # nothing was wrong with it: there is no database


async def test_malformed_escapes_are_not_a_server_error(client: httpx.AsyncClient) -> None:
    for query in ("appId=%zz", "appId=app&groupId=%00", "appId=%ED%A0%80&groupId=g", "&&==&%", "appId"):
        reply = await client.get(f"{MESSAGES}?{query}")
        assert (reply.status_code, reply.json()["code"]) == (400, 40001), query


async def test_other_methods_are_refused_in_the_envelope(client: httpx.AsyncClient) -> None:
    for path in REQUIRED:
        reply = await client.post(path, json={})
        assert (reply.status_code, reply.json()["code"]) == (405, 40500)
        assert "GET" in reply.headers["Allow"]


async def test_other_paths_are_refused_in_the_envelope(client: httpx.AsyncClient) -> None:
    for path in ("/chat", "/chat/message", "/chat/message/findByGroup", "/chat/message/findByGroupId/x"):
        reply = await client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (404, 40400)
        assert reply.json()["success"] is False
