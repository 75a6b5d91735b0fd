"""Gateways of the Java version work at the Java door: each WebSocket client connects, sends and is pushed to.

The clients in Java parse every frame with a Jackson that refuses unknown fields and other types.
"""

import httpx
from imc_testkit.deployment import Deployment

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


async def test_a_long_message_arrives_whole(gateway: Program, app_id: str):
    async with gateway:
        assert (await gateway.envelope())["code"] == 2000
        content = "€" * 21_845
        await gateway.write({"appId": app_id, "groupId": "lobby", "userId": "ann", "content": content})
        assert (await gateway.envelope())["data"]["content"] == content
        await gateway.end()


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
