"""Gateways of the Java version in whole installations, beside those of v1."""

from typing import Any
from urllib.parse import quote

import pytest
from imc_testkit.gateway import connect_at
from imc_testkit.tokens import bearer

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
