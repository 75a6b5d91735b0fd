"""What the Java door writes is what the Java version writes, field by field and type by type.

The files in ``recorded`` hold its frames and replies. Their ids, times and texts are examples.
"""

import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from imc_testkit.deployment import Deployment
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import ClientConnection, connect

from clients.toolchains import SOURCES

EXAMPLES = {"messageId", "informationId", "createTime", "recallTime", "updateTime"}
"""Fields whose values are made by the server."""


class JavaDoor:
    """Calls at the Java door: the bodies of their replies, as text."""

    def __init__(self, http: httpx.AsyncClient, origin: str, app_id: str) -> None:
        self._http = http
        self._origin = origin
        self.of_ann = {"appId": app_id, "groupId": "lobby", "userId": "ann"}

    async def post(self, path: str, **body: Any) -> str:
        reply = await self._http.post(self._origin + path, json=body)
        assert reply.status_code == 200, reply.text
        return reply.text

    async def find(self, path: str, **parameters: Any) -> str:
        reply = await self._http.get(self._origin + path, params={**self.of_ann, **parameters})
        assert reply.status_code == 200, reply.text
        return reply.text

    async def create(self) -> str:
        """Send a message; its id."""
        reply = await self.post("/chat/message/create", **self.of_ann, content="hello", type=1)
        return json.loads(reply)["data"]

    async def found(self, path: str, total: int) -> str:
        """The reply of a query, once it counts ``total``."""

        async def page() -> str | None:
            reply = await self.find(path)
            return reply if json.loads(reply)["data"]["total"] == total else None

        return await wait_until(page, what=f"{total} in the reply of {path}") or ""


@pytest.fixture
def door(http: httpx.AsyncClient, standalone_process: Deployment, app_id: str) -> JavaDoor:
    return JavaDoor(http, standalone_process.command_apis[0].url, app_id)


@pytest.fixture
async def socket(standalone_process: Deployment, app_id: str) -> AsyncGenerator[ClientConnection]:
    origin = standalone_process.push_nodes[0].url.replace("http", "ws", 1)
    path = f"/chat/message/broadcast/{quote(app_id)}/gateway-1"
    async with connect(origin + path, proxy=None) as connection:
        yield connection


async def test_frames(door: JavaDoor, socket: ClientConnection):
    assert_as_recorded("frame-connected", await next_text(socket))
    created = await door.create()
    assert_as_recorded("frame-message-created", await next_text(socket), app_id=door.of_ann["appId"])
    await door.post("/chat/message/recall", messageId=created, recallCause="typo")
    assert_as_recorded("frame-message-recalled", await next_text(socket), app_id=door.of_ann["appId"])


async def test_replies_to_commands(door: JavaDoor):
    create = await door.post("/chat/message/create", **door.of_ann, content="hello", type=1)
    message_id = json.loads(create)["data"]
    recall = await door.post("/chat/message/recall", messageId=message_id, recallCause="typo")
    again = await door.post("/chat/message/recall", messageId=message_id, recallCause="typo")
    publish = await door.post("/notice/information/create", **door.of_ann, title="t", content="c")
    delete = await door.post("/notice/information/delete", informationId=json.loads(publish)["data"])
    for reply in (create, recall, publish, delete):
        assert_as_recorded("reply-to-a-command", reply)
    assert_as_recorded("reply-of-a-refusal", again)


async def test_replies_with_messages(door: JavaDoor):
    first, second = await door.create(), await door.create()
    app_id = door.of_ann["appId"]
    for path in ("findByGroupId", "findByUserId", "findByGroupIdAndUserId"):
        page = await door.found(f"/chat/message/{path}", 2)
        assert_as_recorded("reply-with-a-message-page", page, app_id=app_id)
    for path, message_id in (("findBeforeByMessageId", second), ("findAfterByMessageId", first)):
        messages = await door.find(f"/chat/message/{path}", messageId=message_id, pageSize=10)
        assert_as_recorded("reply-with-messages", messages, app_id=app_id)
    groups = await door.find("/chat/group/findGroupListByUserId")
    assert_as_recorded("reply-with-groups", groups, app_id=app_id)


async def test_replies_with_notices(door: JavaDoor):
    fields = {
        "title": "Tonight",
        "content": "Maintenance",
        "jumpUrl": "https://example.com/status",
        "type": 1,
    }
    await door.post("/notice/information/create", **door.of_ann, **fields)
    for path in ("findByGroupId", "findByUserId", "findByGroupIdAndUserId"):
        page = await door.found(f"/notice/information/{path}", 1)
        assert_as_recorded("reply-with-a-notice-page", page, app_id=door.of_ann["appId"])


@pytest.mark.parametrize(
    ("path", "changed"),
    [
        (["cursor"], "0-1"),
        (["data", "recallTime"], "0"),
        (["data", "recallTime"], None),
        (["data", "status"], 1.0),
        (["data", "gatewayId"], "gateway-1"),
        (["message"], "new message"),
        (["success"], 1),
    ],
)
def test_a_difference_is_caught(path: list[str], changed: object):
    frame = recorded("frame-message-created", app_id="a")
    assert_as_recorded("frame-message-created", json.dumps(frame), app_id="a")
    *parents, field = path
    owner = frame
    for parent in parents:
        owner = owner[parent]
    owner[field] = changed
    with pytest.raises(AssertionError):
        assert_as_recorded("frame-message-created", json.dumps(frame), app_id="a")


async def next_text(socket: ClientConnection) -> str:
    """The next frame, which must be a text."""
    frame = await socket.recv(decode=None)
    assert isinstance(frame, str)
    return frame


def recorded(name: str, app_id: str) -> Any:
    """What the Java version wrote, in the app of the test."""
    text = (SOURCES / "recorded" / f"{name}.json").read_text()
    return json.loads(text.replace('"shop"', json.dumps(app_id)))


def assert_as_recorded(name: str, text: str, app_id: str = "") -> None:
    """Assert that a frame or reply has the recorded fields in their order, with their types and values."""
    expected = recorded(name, app_id)
    if name == "reply-to-a-command":
        assert json.loads(text)["data"].isdecimal()
        expected["data"] = json.loads(text)["data"]
    if name == "reply-of-a-refusal":
        expected["message"] = json.loads(text)["message"]
        assert isinstance(expected["message"], str)
    assert with_types(json.loads(text)) == with_types(expected)


def with_types(value: Any, name: str = "") -> Any:
    """A value in a form that compares types and the order of fields; of an example only the type is kept."""
    if isinstance(value, dict):
        return [(key, with_types(each, key)) for key, each in value.items()]
    if isinstance(value, list):
        return ["list", *(with_types(each) for each in value)]
    is_example = name in EXAMPLES and value != 0
    return type(value).__name__ if is_example else (type(value).__name__, value)
