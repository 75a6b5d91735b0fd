"""Clients of the Java version's calls: RestTemplate, HttpClient, OkHttp and Feign, as they are by default.

Each reply is read as what its SDK declares, by a Jackson that refuses unknown fields and other types. For
OkHttp, Gson parses it before.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any
from urllib.parse import urlencode

import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.waiting import wait_until

from clients.conftest import JAVA_CALLS, WITHOUT_BODIES_IN_QUERIES
from clients.program import Event, Program

BOUNDARY = "as-its-documentation-says"
FORM = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="pageSize"\r\n\r\n5\r\n--{BOUNDARY}--\r\n'


class JavaClient:
    """Calls of the Java version, made by a program in Java."""

    def __init__(self, program: Program, origin: str, app_id: str) -> None:
        self._program = program
        self._origin = origin
        self.of_ann = {"appId": app_id, "groupId": "lobby", "userId": "ann"}

    async def ask(
        self, method: str, path: str, data: str, content_type: str | None, body: str | None
    ) -> Event:
        """Make a call; the program's event."""
        address = self._origin + path
        call = {"method": method, "address": address, "contentType": content_type, "body": body, "data": data}
        await self._program.write(call)
        return await self._program.event()

    async def post(self, path: str, body: Any) -> Event:
        """Post JSON, or send ``body`` as a form if it is text. The envelope: its ``data`` is a string."""
        if isinstance(body, str):
            event = await self.ask("POST", path, "string", "application/x-www-form-urlencoded", body)
        else:
            event = await self.ask("POST", path, "string", "application/json", json.dumps(body))
        assert event["event"] == "parsed", event
        return event["envelope"]

    async def find(self, path: str, data: str, parameters: Mapping[str, Any], *, form: bool = False) -> Any:
        """Query; the ``data`` of its reply, of the type that ``data`` names."""
        media_type = f"multipart/form-data; boundary={BOUNDARY}" if form else None
        target = f"{path}?{urlencode(parameters)}"
        event = await self.ask("GET", target, data, media_type, FORM if form else None)
        assert event["event"] == "parsed", event
        envelope = event["envelope"]
        assert (envelope["success"], envelope["code"]) == (True, 0), envelope
        return envelope["data"]

    async def create(self, content: str, **fields: Any) -> str:
        """Send a message of ann; its id."""
        body = {**self.of_ann, "content": content, **fields}
        reply = await self.post("/chat/message/create", body)
        assert reply == {"success": True, "code": 0, "message": reply["message"], "data": reply["data"]}
        return reply["data"]


@pytest.fixture
async def java(calls: Program, standalone_process: Deployment, app_id: str) -> AsyncGenerator[JavaClient]:
    async with calls as program:
        yield JavaClient(program, standalone_process.command_apis[0].url, app_id)


async def test_a_message_is_created_found_and_recalled(java: JavaClient):
    created = await java.create("hello", type=3)
    page = await found(java, "/chat/message/findByGroupId", "message page", 1)
    message = page["pageMessageList"][0]
    assert (message["messageId"], message["content"], message["type"]) == (created, "hello", 3)

    reply = await java.post("/chat/message/recall", {"messageId": created, "recallCause": "typo"})
    assert (reply["success"], reply["code"], reply["data"]) == (True, 0, created)
    page = await java.find("/chat/message/findByUserId", "message page", java.of_ann)
    message = page["pageMessageList"][0]
    assert (message["status"], message["content"], message["recallCause"]) == (0, "", "typo")


async def test_a_refusal_of_the_business_is_a_reply_that_no_client_throws_at(java: JavaClient):
    refused = {"success": False, "code": -1, "data": None}
    unknown = {"messageId": "1234567890123456789"}
    assert without_message(await java.post("/chat/message/recall", unknown)) == refused

    created = await java.create("twice")
    body = {"messageId": created}
    assert (await java.post("/chat/message/recall", body))["success"]
    assert without_message(await java.post("/chat/message/recall", body)) == refused

    unknown = {"informationId": "1234567890123456789"}
    assert without_message(await java.post("/notice/information/delete", unknown)) == refused


async def test_a_malformed_request_is_thrown_at(java: JavaClient):
    event = await java.ask("POST", "/chat/message/create", "string", "application/json", '{"appId": "a"}')
    assert event["event"] == "threw", event
    assert "400" in event["message"]


async def test_every_query_of_messages(java: JavaClient):
    ids = [await java.create(f"message {number}") for number in range(5)]
    for path in ("findByGroupId", "findByUserId", "findByGroupIdAndUserId"):
        page = await found(java, f"/chat/message/{path}", "message page", 5)
        assert [each["messageId"] for each in page["pageMessageList"]] == ids
        page = await java.find(
            f"/chat/message/{path}",
            "message page",
            {**java.of_ann, "pageNum": 2, "pageSize": 2, "startTime": 0},
        )
        assert (page["total"], [each["messageId"] for each in page["pageMessageList"]]) == (5, ids[2:4])
        page = await java.find(f"/chat/message/{path}", "message page", {**java.of_ann, "pageSize": -1})
        assert [each["messageId"] for each in page["pageMessageList"]] == ids
    around = {**java.of_ann, "messageId": ids[2], "pageSize": 10}
    before = await java.find("/chat/message/findBeforeByMessageId", "messages", around)
    after = await java.find("/chat/message/findAfterByMessageId", "messages", around)
    assert [[each["messageId"] for each in part] for part in (before, after)] == [ids[:2], ids[3:]]
    groups = await java.find("/chat/group/findGroupListByUserId", "groups", java.of_ann)
    assert [(group["groupId"], group["newMessage"]["messageId"]) for group in groups] == [("lobby", ids[4])]
    assert groups[0]["messageTotal"] == 5


@pytest.mark.parametrize(
    "calls", [each for each in JAVA_CALLS if each not in WITHOUT_BODIES_IN_QUERIES], indirect=True
)
async def test_a_form_in_the_body_of_a_query_is_ignored(java: JavaClient):
    """Some clients are not asked, since they send no body with a query."""
    ids = [await java.create(f"message {number}") for number in range(6)]
    await found(java, "/chat/message/findByGroupId", "message page", 6)
    page = await java.find("/chat/message/findByGroupId", "message page", java.of_ann, form=True)
    assert [each["messageId"] for each in page["pageMessageList"]] == ids


async def test_a_notice_is_created_found_and_deleted(java: JavaClient):
    body = {
        **java.of_ann,
        "title": "Tonight",
        "content": "Maintenance",
        "jumpUrl": "https://example.com/?a=1",
        "type": 1,
    }
    ids = [(await java.post("/notice/information/create", body))["data"] for _ in range(3)]
    for path in ("findByGroupId", "findByUserId", "findByGroupIdAndUserId"):
        page = await found(java, f"/notice/information/{path}", "notice page", 3)
        assert [each["informationId"] for each in page["pageInformationList"]] == ids[::-1]
        assert {key: page["pageInformationList"][0][key] for key in body} == body
    by_json, by_form, by_query = ids
    for path, body in (
        ("/notice/information/delete", {"informationId": by_json}),
        ("/notice/information/delete", f"informationId={by_form}"),
        (f"/notice/information/delete?informationId={by_query}", ""),
    ):
        reply = await java.post(path, body)
        assert (reply["success"], reply["code"]) == (True, 0), reply
        assert isinstance(reply["data"], str)
    page = await java.find("/notice/information/findByGroupId", "notice page", java.of_ann)
    assert page == {"total": 0, "pageInformationList": []}


async def found(java: JavaClient, path: str, data: str, total: int) -> Any:
    """The page of a query, once there are ``total`` of what it finds."""

    async def page() -> Any:
        page = await java.find(path, data, java.of_ann)
        return page if page["total"] == total else None

    return await wait_until(page, what=f"{total} in the reply of {path}")


def without_message(envelope: Event) -> Event:
    """An envelope without what is for people."""
    return {key: value for key, value in envelope.items() if key != "message"}
