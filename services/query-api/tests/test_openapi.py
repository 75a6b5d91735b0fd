"""Tests the OpenAPI description, as generators of clients read it."""

import re
from typing import Any

import pytest
from imc_query_api.app import create_app
from imc_query_api.settings import QueryApiSettings
from imc_service.settings import load
from imc_testkit.tokens import OFF

PAGE = {"groupId", "userId", "before", "after", "startTime", "endTime", "limit", "minCursor"}
EXPORTED = {"groupId", "userId", "after", "limit", "minCursor"}
PAGED = {"startTime", "endTime", "pageNum", "pageSize"}
BESIDE = {"appId", "groupId", "messageId"}
CALLS: dict[str, tuple[set[str], set[str], str]] = {
    "/v1/queries/messages": ({"appId"}, PAGE | {"withTotal"}, "MessagePage"),
    "/v1/queries/message": ({"appId", "messageId"}, {"minCursor"}, "Message"),
    "/v1/queries/groups": ({"appId"}, {"userId", "after", "limit", "minCursor"}, "GroupPage"),
    "/v1/queries/notices": ({"appId"}, PAGE | {"deleted"}, "NoticePage"),
    "/v1/queries/export-messages": ({"appId"}, EXPORTED, "MessageExport"),
    "/v1/queries/export-notices": ({"appId"}, EXPORTED, "NoticeExport"),
    "/chat/message/findByGroupId": ({"appId", "groupId"}, PAGED, "JavaMessagePage"),
    "/chat/message/findByUserId": ({"appId", "userId"}, PAGED, "JavaMessagePage"),
    "/chat/message/findByGroupIdAndUserId": ({"appId", "groupId", "userId"}, PAGED, "JavaMessagePage"),
    "/chat/message/findBeforeByMessageId": (BESIDE, {"pageSize"}, "Message"),
    "/chat/message/findAfterByMessageId": (BESIDE, {"pageSize"}, "Message"),
    "/chat/group/findGroupListByUserId": ({"appId", "userId"}, set(), "Group"),
    "/notice/information/findByGroupId": ({"appId", "groupId"}, PAGED, "JavaNoticePage"),
    "/notice/information/findByUserId": ({"appId", "userId"}, PAGED, "JavaNoticePage"),
    "/notice/information/findByGroupIdAndUserId": ({"appId", "groupId", "userId"}, PAGED, "JavaNoticePage"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": "sqlite:///none"})).openapi()


def test_all_calls_and_health_checks_are_described(document: dict[str, Any]) -> None:
    assert document["paths"].keys() == CALLS.keys() | {"/livez", "/readyz", "/metrics"}
    assert all(methods.keys() == {"get"} for methods in document["paths"].values())
    names = [methods["get"]["operationId"] for methods in document["paths"].values()]
    assert len(set(names)) == len(names)
    titles = [schema.get("title") for schema in document["components"]["schemas"].values()]
    assert len(set(titles)) == len(titles)


def test_each_door_has_a_tag(document: dict[str, Any]) -> None:
    for path in CALLS:
        tag = "queries" if path.startswith("/v1/") else "Java door"
        assert document["paths"][path]["get"]["tags"] == [tag]


@pytest.mark.parametrize("path", CALLS)
def test_each_call_has_its_parameters(document: dict[str, Any], path: str) -> None:
    required, optional, _ = CALLS[path]
    parameters = document["paths"][path]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == required | optional
    assert {parameter["name"] for parameter in parameters if parameter["required"]} == required
    assert {parameter["name"] for parameter in parameters if "allowEmptyValue" in parameter} == optional
    assert all(parameter["in"] == "query" and parameter["description"] for parameter in parameters)
    for parameter in parameters:
        schema = parameter["schema"]
        example = str(parameter["example"])
        assert (schema["type"], example.isdigit()) != ("integer", False)
        assert schema["type"] != "integer" or schema["format"] in ("int32", "int64")
        assert re.fullmatch(schema.get("pattern", ".*"), example), parameter


@pytest.mark.parametrize("path", CALLS)
def test_each_call_has_its_reply_and_its_refusals(document: dict[str, Any], path: str) -> None:
    replies = document["paths"][path]["get"]["responses"]
    envelope = _at(document, replies["200"]["content"]["application/json"]["schema"])
    assert envelope["required"] == ["success", "code", "message", "data"]
    data = envelope["properties"]["data"]
    assert _name(data["items"] if "array" in data.get("type", ()) else data) == CALLS[path][2]
    refused = {"400", "401", "403", "500", "503"}
    if path.startswith("/v1/") and "/export-" not in path:
        refused |= {"404"}
    assert replies.keys() == {"200"} | refused
    for status in refused:
        failure = "Failure" if path.startswith("/v1/") else "JavaFailure"
        assert _name(replies[status]["content"]["application/json"]["schema"]) == failure


def schemas_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    parameters = document["paths"][path]["get"]["parameters"]
    return {parameter["name"]: parameter["schema"] for parameter in parameters}


def test_bounds_and_defaults_of_v1_are_described(document: dict[str, Any]) -> None:
    schemas = schemas_of(document, "/v1/queries/messages")
    assert schemas["limit"] == {
        **{"type": "integer", "format": "int32", "minimum": 1, "maximum": 500, "default": 50}
    }
    assert schemas["withTotal"] == {"type": "boolean", "default": False}
    assert schemas["groupId"]["maxLength"] == 127
    assert schemas["before"] == {"type": "string", "pattern": "^[1-9][0-9]{0,18}$"}
    times = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1}
    assert schemas["startTime"] == {**times, "default": 0}
    assert schemas["endTime"] == {**times, "default": 2**63 - 1}


def test_bounds_and_defaults_of_the_java_door_are_described(document: dict[str, Any]) -> None:
    schemas = schemas_of(document, "/chat/message/findByGroupId")
    sizes = {"type": "integer", "format": "int32", "minimum": -1, "maximum": 10_000}
    assert schemas["pageSize"] == {**sizes, "default": 20}
    numbers = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert schemas["pageNum"] == {**numbers, "default": 1}
    assert schemas["appId"]["maxLength"] == 127
    assert schemas["startTime"]["default"] == 0


def test_times_in_replies_are_64_bits_wide(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, field in (("Message", "createTime"), ("Notice", "deleteTime"), ("Group", "updateTime")):
        assert schemas[name]["properties"][field]["format"] == "int64"


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _at(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"][_name(schema)]
