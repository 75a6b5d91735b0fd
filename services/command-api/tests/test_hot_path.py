"""The hot path: what it answers, FastAPI's own stack would answer alike."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from imc_command_api import http
from imc_command_api.http.state import CommandApi
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused, unavailable
from imc_service.auth.grant import EVERYTHING
from imc_service.health import Readiness
from imc_service.http.application import assemble
from imc_service.http.bodies import BodyRoom
from imc_service.http.hot_path import HotPathMiddleware
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send

SEND, BATCH = "/v1/commands/send-message", "/v1/commands/send-messages"
JAVA_SEND = "/chat/message/create"
GOOD = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
RECEIPT = {"messageId": "1", "createTime": 2, "cursor": "x.1-0", "duplicate": False}
LIMIT = 4096
REFUSALS = {
    "busy": unavailable("the log is out of reach", 7),
    "reused": Refused(ErrorCode.CLIENT_MESSAGE_ID_REUSED, "used"),
    "quota": Refused(ErrorCode.QUOTA_USED_UP, "used up", retry_after=3),
}


class Sends:
    """In the place of the handler: refuses or fails as the content of a message says."""

    async def one(self, command: SendMessage) -> Any:
        if command.content == "fault":
            raise RuntimeError("inside")
        if command.content in REFUSALS:
            raise REFUSALS[command.content]
        return RECEIPT

    async def batch(self, commands: list[SendMessage | Refused]) -> Any:
        return [each if isinstance(each, Refused) else await self.one(each) for each in commands]


class Served:
    """An application as command-api's, with or without its hot path."""

    def __init__(self, *, is_hot: bool) -> None:
        self.registry = CollectorRegistry()
        self.app = assemble(
            FastAPI(), Readiness(), self.registry, http.routes(), hot=http.hot() if is_hot else ()
        )

    @asynccontextmanager
    async def client(self, recall: Any = None, delete: Any = None) -> AsyncGenerator[httpx.AsyncClient]:
        api = CommandApi(Sends(), recall, None, delete, None, LIMIT, LIMIT, BodyRoom(LIMIT), None)  # pyright: ignore
        state = {"command_api": api, "grant": EVERYTHING}

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
        # With an id of its own: one that is made differs.
        headers = {"x-request-id": "of-ann"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client

    def counted(self) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name in ("imc_http_requests_total", "imc_http_request_seconds_count")
        }


async def chunks(*parts: bytes) -> AsyncGenerator[bytes]:
    for part in parts:
        yield part


def bodies() -> list[Any]:
    """Good ones, and everything that can be wrong with a body."""
    single = [
        GOOD,
        {**GOOD, "type": "7", "clientMessageId": "c", "unknown": 1},
        *({**GOOD, "content": word} for word in ("fault", *REFUSALS)),
        *({**GOOD, field: value} for field in GOOD for value in ("", " ", None, 7, [], "x" * 128, "\x00")),
        *({key: value for key, value in GOOD.items() if key != left_out} for left_out in GOOD),
        *({**GOOD, "type": value} for value in (True, 1.5, "x", 2**31)),
        *({**GOOD, "clientMessageId": value} for value in ("", "é", "x" * 65)),
        {**GOOD, "content": "x" * LIMIT},
    ]
    raw = [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"NaN", b"{}{}", b'{"appId": "\\ud800"}', b"[" * 999]
    batches = [{"messages": bad} for bad in ([], None, 7, {}, [GOOD] * 501, [GOOD, 7, {}])]
    return [*single, *raw, *batches, *({"messages": [GOOD, each]} for each in single)]


def requests() -> list[dict[str, Any]]:
    """For one path, without its URL."""
    as_json = {"content-type": "application/json"}
    contents = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies()]
    good = json.dumps(GOOD).encode()
    media_types = ("", "text/plain", "application/x-www-form-urlencoded", "Application/JSON; a=b", "a/b+json")
    return [
        *({"method": "POST", "content": content, "headers": as_json} for content in contents),
        *({"method": "POST", "content": good, "headers": {"content-type": each}} for each in media_types),
        {"method": "POST", "content": good},
        {"method": "POST", "content": b"x" * (LIMIT + 1), "headers": as_json},
        {"method": "POST", "content": good, "headers": {**as_json, "content-length": "9" * 19}},
        *({"method": method} for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS")),
    ]


async def answers(served: Served) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    found: list[tuple[int, list[tuple[str, str]], bytes]] = []
    async with served.client() as client:
        few = ((SEND + "/", 1), (SEND + "s", 1), (JAVA_SEND + "/", 1), (JAVA_SEND + "//", 1))
        for path, some in ((SEND, None), (BATCH, None), (JAVA_SEND, None), *few):
            for request in requests()[:some]:
                reply = await client.request(url=path, **request)
                found.append((reply.status_code, sorted(reply.headers.multi_items()), reply.content))
        for split in (
            (b"x" * LIMIT, b"x"),
            (b'{"appId": "a", "groupId"', b': "g", "userId": "u", "content": ""}'),
        ):
            reply = await client.post(SEND, content=chunks(*split))
            found.append((reply.status_code, sorted(reply.headers.multi_items()), reply.content))
    return found


async def test_everything_is_answered_and_counted_as_fastapi_does() -> None:
    hot, plain = Served(is_hot=True), Served(is_hot=False)
    on_hot, on_plain = await answers(hot), await answers(plain)
    assert on_hot == on_plain
    assert {status for status, _, _ in on_hot} >= {200, 400, 404, 405, 409, 413, 415, 429, 500, 503}
    assert hot.counted() == plain.counted()
    assert hot.counted()["imc_http_requests_total", SEND, "200"] > 1
    assert hot.counted()["imc_http_requests_total", JAVA_SEND, "200"] > 1


@pytest.mark.parametrize("path", [SEND, BATCH, JAVA_SEND, JAVA_SEND + "/"])
async def test_a_send_does_not_pass_through_fastapi(path: str) -> None:
    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("passed on")

    served = Served(is_hot=True)
    hot_path = served.app.state.hot_path
    served.app = HotPathMiddleware(elsewhere, hot_path)  # pyright: ignore[reportAttributeAccessIssue]
    async with served.client() as client:
        body = {"messages": [GOOD]} if path == BATCH else GOOD
        assert (await client.post(path, json=body)).json()["code"] == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((code, 200) for code in (ErrorCode.MESSAGE_NOT_FOUND, ErrorCode.NOTICE_NOT_FOUND)),
        *((code, 200) for code in (ErrorCode.ALREADY_RECALLED, ErrorCode.RECALL_WINDOW_PASSED)),
        (ErrorCode.NOTICE_ALREADY_DELETED, 200),
        (ErrorCode.FORBIDDEN, 403),
        (ErrorCode.QUOTA_USED_UP, 429),
        (ErrorCode.INTERNAL, 500),
        (ErrorCode.UNAVAILABLE, 503),
    ],
)
@pytest.mark.parametrize("is_hot", [True, False])
async def test_only_reasons_of_business_have_status_200_on_the_java_door(
    code: ErrorCode, status: int, is_hot: bool
) -> None:
    async def refuse(*_: object) -> None:
        raise Refused(code, "why", retry_after=7)

    served = Served(is_hot=is_hot)
    async with served.client(recall=refuse, delete=refuse) as client:
        for path, body in (
            ("/chat/message/recall", {"messageId": "1"}),
            ("/notice/information/delete", {"informationId": "1"}),
        ):
            reply = await client.post(path, json=body)
            assert reply.status_code == status
            message = "why (request id of-ann)" if status == 500 else "why"
            assert reply.json() == {"success": False, "code": -1, "message": message, "data": None}
            assert (reply.headers.get("retry-after") == "7") is (status != 200)
