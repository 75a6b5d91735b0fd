"""Gateways of the Java version in whole installations, beside those of v1."""

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from imc_testkit.gateway import connect_at
from imc_testkit.tokens import bearer
from websockets.asyncio.client import connect

FIELDS = {"success", "code", "message", "data"}
MESSAGE_FIELDS = {
    "messageId",
    "appId",
    "groupId",
    "userId",
    "content",
    "createTime",
    "recallTime",
    "recallCause",
    "status",
    "type",
}


@pytest.mark.parametrize("gateway_id", ["10.0.0.1:8080", "网关"])
async def test_both_doors_show_the_same_messages(client: Any, app_id: str, gateway_id: str) -> None:
    path = f"/chat/message/broadcast/{app_id}/{quote(gateway_id, safe='')}/"
    address = client.deployment.push_nodes[0].url + path
    async with (
        connect_at(address, additional_headers=bearer(app_id)) as java,
        connect_at(address, additional_headers=bearer(app_id)) as replica,
        client.gateway(app_id, gateway_id) as of_v1,
    ):
        gateways = (java, replica, of_v1)
        for gateway in gateways:
            await gateway.wait_for_code(2000)
        await java.send_json(
            {"appId": app_id, "groupId": 7, "userId": "u", "content": '"a\\b"\n', "type": "3"}
        )
        pushes = [(await gateway.wait_for_code(2001))[0] for gateway in gateways]
        message = pushes[0]["data"]
        assert set(message) == MESSAGE_FIELDS
        assert {name: message[name] for name in ("appId", "groupId", "content", "type")} == {
            "appId": app_id,
            "groupId": "7",
            "content": '"a\\b"\n',
            "type": 3,
        }
        assert all(push["data"] == message for push in pushes)
        recall = {"appId": app_id, "messageId": message["messageId"]}
        assert (await client.post("/v1/commands/recall-message", recall))["success"]
        for gateway in gateways:
            [recalled] = await gateway.wait_for_code(2002)
            assert (recalled["data"]["content"], recalled["data"]["status"]) == ("", 0)
        for gateway in (java, replica):
            assert [frame["code"] for frame in gateway.frames] == [2000, 2001, 2002]
            assert all(set(frame) == FIELDS for frame in gateway.frames)
            assert all(frame["message"] == "success" for frame in gateway.frames)


CONTENT = '"q" \\ / <b>&\' \n\t\x01\x7f é € 你好 😀 \u2028' + "x" * 7_900


async def test_a_frame_has_no_character_too_many_whoever_sent_the_message(client: Any, app_id: str) -> None:
    """A client of the Java version may have a buffer that the frames of that version just fit into."""
    message = {"appId": app_id, "groupId": "g", "userId": "u", "content": CONTENT, "type": 1}
    with_id = {**message, "clientMessageId": "of-ann"}
    address = f"{client.deployment.push_nodes[0].url}/chat/message/broadcast/{app_id}/g"
    async with (
        connect(address.replace("http", "ws", 1), proxy=None, additional_headers=bearer(app_id)) as websocket,
        asyncio.timeout(20),
    ):

        async def next_frame() -> Any:
            text = await websocket.recv()
            frame = json.loads(text)
            assert text == json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
            assert frame.keys() == FIELDS
            return frame

        assert (await next_frame())["code"] == 2000
        await websocket.send(json.dumps(with_id))
        sent = [(await next_frame())["data"]]
        for path, body in (
            ("/chat/message/create", {**with_id, "type": " 1 "}),
            ("/v1/commands/send-message", with_id),
            ("/v1/commands/send-messages", {"messages": [message]}),
        ):
            assert (await client.post(path, body))["success"]
            sent.append((await next_frame())["data"])
        for each in sent:
            assert each.keys() == MESSAGE_FIELDS
            assert {name: each[name] for name in message} == message
        recall = {"messageId": sent[0]["messageId"], "recallCause": "typo"}
        assert (await client.post("/chat/message/recall", recall))["success"]
        frame = await next_frame()
        assert (frame["code"], frame["data"].keys()) == (2002, MESSAGE_FIELDS)
