"""Ids hold any character; none of them leads to another app, another gateway or another key."""

import secrets
from typing import Any

import pytest

IDS = ["a:b", "应用", "my app", "a%b", "a%3Ab", "{x}", "x", "*", "a}:log", "a\\b'\""]


@pytest.mark.parametrize("id_", IDS)
async def test_ids_of_any_characters(client: Any, id_: str) -> None:
    app_id = f"{id_}{secrets.token_hex(4)}{id_}"
    near = f"{app_id}."
    async with client.gateway(app_id, id_) as gateway, client.gateway(near, id_) as other:
        for each in (gateway, other):
            await each.wait_for_code(2000)
        sent = await client.send(app_id, "one", groupId=id_, userId=id_, clientMessageId="1")
        again = await client.send(app_id, "one", groupId=id_, userId=id_, clientMessageId="1")
        assert (again["messageId"], again["duplicate"]) == (sent["messageId"], True)
        [push] = await gateway.wait_for_code(2001)
        assert {name: push["data"][name] for name in ("appId", "groupId", "userId")} == {
            "appId": app_id,
            "groupId": id_,
            "userId": id_,
        }
        recall = {"appId": app_id, "messageId": sent["messageId"]}
        assert (await client.post("/v1/commands/recall-message", recall))["success"]
        await gateway.wait_for_code(2002)
        [row] = await client.history(app_id, id_, total=1)
        assert (row["appId"], row["status"], row["content"]) == (app_id, 0, "")
        # A newer connection of the gatewayId takes over, from another node too.
        async with client.gateway(app_id, id_, node=1) as newer:
            await newer.wait_for_code(2000)
            assert await gateway.wait_closed() == 4409
            await client.send(near, "two")
            await other.wait_for_code(2001)
            assert not newer.with_code(2001)
