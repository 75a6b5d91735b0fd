"""Gateways of the Java version work at the Java door: each WebSocket client connects, sends and is pushed to.

The clients in Java parse every frame with Jackson, Gson (OkHttp) or fastjson (Tomcat); a Jackson that refuses
unknown fields and other types reads what they parsed.
"""

import json
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment

from clients.conftest import GATEWAYS, TOMCAT_CHARACTERS
from clients.program import Program

CONNECTED = {"success": True, "code": 2000, "message": "success", "data": "connection successful"}
CONTENT = 'it\'s "quoted" \\ 你好 😀\nnext line'


async def test_a_gateway_gets_its_message_and_its_recall(
    gateway: Program, standalone_process: Deployment, http: httpx.AsyncClient, app_id: str
):
    async with gateway:
        assert await gateway.envelope() == CONNECTED
        sent = {"appId": app_id, "groupId": "lobby", "userId": "ann", "content": CONTENT, "type": 1}
        await gateway.write(sent)
        pushed = await gateway.envelope()
        message = pushed["data"]
        assert pushed == {"success": True, "code": 2001, "message": "success", "data": message}
        assert message == {
            **sent,
            "messageId": message["messageId"],
            "createTime": message["createTime"],
            "recallTime": 0,
            "recallCause": None,
            "status": 1,
        }
        body = {"messageId": message["messageId"], "recallCause": "typo"}
        reply = await http.post(f"{standalone_process.command_apis[0].url}/chat/message/recall", json=body)
        assert reply.json()["data"] == message["messageId"]
        pushed = await gateway.envelope()
        recalled = {"content": "", "status": 0, "recallCause": "typo"}
        recall_time = pushed["data"]["recallTime"]
        assert recall_time >= message["createTime"]
        assert pushed == {
            "success": True,
            "code": 2002,
            "message": "success",
            "data": {**message, **recalled, "recallTime": recall_time},
        }
        await gateway.end()


@pytest.mark.parametrize("gateway", [each for each in GATEWAYS if each != "tomcat"], indirect=True)
async def test_a_long_message_arrives_whole(gateway: Program, app_id: str):
    async with gateway:
        assert (await gateway.envelope())["code"] == 2000
        content = "€" * 21_845
        await gateway.write({"appId": app_id, "groupId": "lobby", "userId": "ann", "content": content})
        assert (await gateway.envelope())["data"]["content"] == content
        await gateway.end()


@pytest.mark.parametrize("gateway", ["tomcat"], indirect=True)
async def test_a_frame_is_no_longer_than_that_of_the_java_version(gateway: Program, app_id: str):
    """Tomcat's client closes at a frame of one character more than it takes.

    So a frame must have no space, and no character that is escaped without need, as Jackson writes it.
    """
    async with gateway:
        assert (await gateway.envelope())["code"] == 2000
        message = {"appId": app_id, "groupId": "lobby", "userId": "ann", "type": 1}
        await gateway.write({**message, "content": ""})
        around = characters_by_jackson(await gateway.envelope())
        longest = "€é/<'&" * TOMCAT_CHARACTERS
        longest = longest[: TOMCAT_CHARACTERS - around]
        await gateway.write({**message, "content": longest})
        pushed = await gateway.envelope()
        assert characters_by_jackson(pushed) == TOMCAT_CHARACTERS
        assert pushed["data"]["content"] == longest
        await gateway.write({**message, "content": longest + "x"})
        too_long = await gateway.event()
        assert (too_long["event"], too_long["code"]) == ("closed", 1009)


def characters_by_jackson(envelope: Any) -> int:
    """The length of an envelope as Jackson writes it, in characters of Java."""
    text = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-16-le")) // 2


async def test_a_refused_frame_is_answered_and_the_connection_stays(gateway: Program, app_id: str):
    async with gateway:
        assert (await gateway.envelope())["code"] == 2000
        await gateway.write({"appId": app_id, "userId": "ann", "content": "to no group"})
        refused = await gateway.envelope()
        assert (refused["success"], refused["code"], refused["data"]) == (False, 4001, None)
        assert "groupId" in refused["message"]
        await gateway.write({"appId": app_id, "groupId": "lobby", "userId": "ann", "content": "hello"})
        assert (await gateway.envelope())["data"]["content"] == "hello"
        await gateway.end()
