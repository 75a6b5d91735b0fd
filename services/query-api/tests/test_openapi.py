"""Tests the OpenAPI description, as generators of clients read it."""

from typing import Any

import pytest
from imc_query_api.app import create_app
from imc_query_api.settings import QueryApiSettings
from imc_service.settings import load
from imc_testkit.tokens import OFF

PAGED = {"startTime", "endTime", "pageNum", "pageSize", "withTotal"}
BESIDE = {"appId", "groupId", "messageId"}
CALLS: dict[str, tuple[set[str], set[str], str]] = {
    "/chat/message/findByGroupId": ({"appId", "groupId"}, PAGED, "MessagePage"),
    "/chat/message/findByUserId": ({"appId", "userId"}, PAGED, "MessagePage"),
    "/chat/message/findByGroupIdAndUserId": ({"appId", "groupId", "userId"}, PAGED, "MessagePage"),
    "/chat/message/findBeforeByMessageId": (BESIDE, {"pageSize"}, "Message"),
    "/chat/message/findAfterByMessageId": (BESIDE, {"pageSize"}, "Message"),
    "/chat/group/findGroupListByUserId": ({"appId", "userId"}, set(), "Group"),
    "/notice/information/findByGroupId": ({"appId", "groupId"}, PAGED, "NoticePage"),
    "/notice/information/findByUserId": ({"appId", "userId"}, PAGED, "NoticePage"),
    "/notice/information/findByGroupIdAndUserId": ({"appId", "groupId", "userId"}, PAGED, "NoticePage"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": "sqlite:///none"})).openapi()


def test_all_calls_and_health_checks_are_described(document: dict[str, Any]) -> None:
    assert document["paths"].keys() == CALLS.keys() | {"/livez", "/readyz", "/metrics"}
    assert all(methods.keys() == {"get"} for methods in document["paths"].values())
    names = [methods["get"]["operationId"] for methods in document["paths"].values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", CALLS)
def test_each_call_has_its_parameters(document: dict[str, Any], path: str) -> None:
    required, optional, _ = CALLS[path]
    parameters = document["paths"][path]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == required | optional
    assert {parameter["name"] for parameter in parameters if parameter["required"]} == required
    assert {parameter["name"] for parameter in parameters if "allowEmptyValue" in parameter} == optional
    assert all(parameter["in"] == "query" and parameter["description"] for parameter in parameters)


@pytest.mark.parametrize("path", CALLS)
def test_each_call_has_its_reply_and_its_refusals(document: dict[str, Any], path: str) -> None:
    replies = document["paths"][path]["get"]["responses"]
    envelope = _at(document, replies["200"]["content"]["application/json"]["schema"])
    assert envelope["required"] == ["success", "code", "message", "data"]
    data = envelope["properties"]["data"]
    assert _name(data["items"] if data.get("type") == "array" else data) == CALLS[path][2]
    refused = {"400", "401", "403", "500", "503"} | ({"404"} if CALLS[path][0] is BESIDE else set[str]())
    assert replies.keys() == {"200"} | refused
    for status in refused:
        assert _name(replies[status]["content"]["application/json"]["schema"]) == "Failure"


def test_bounds_and_defaults_are_described(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/chat/message/findByGroupId"]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert schemas["pageSize"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 20}
    assert schemas["pageNum"] == {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 1}
    assert schemas["withTotal"] == {"type": "boolean", "default": True}
    assert schemas["appId"]["pattern"] == "^[A-Za-z0-9._~-]{1,127}$"
    assert schemas["startTime"]["default"] == 0


def _name(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _at(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return document["components"]["schemas"][_name(schema)]
