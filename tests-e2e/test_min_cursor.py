"""What was acknowledged is in the reply to a query that asks for its cursor, through the real projector."""

from typing import Any

import pytest
from imc_contracts.cursor import Cursor, EntryId

QUERIES = ["messages", "groups", "notices", "message"]


def parameters_of(query: str, app_id: str, message_id: str) -> dict[str, str]:
    own = {"messages": {"groupId": "g"}, "notices": {"groupId": "g"}, "message": {"messageId": message_id}}
    return {"appId": app_id, **own.get(query, {})}


async def test_a_message_is_there_when_its_cursor_is_asked_for(client: Any, app_id: str) -> None:
    for number in range(20):
        sent = await client.send(app_id, str(number))
        asked = {"appId": app_id, "groupId": "g", "minCursor": sent["cursor"]}
        page = await client.get("/v1/queries/messages", **asked)
        assert page["code"] == 0, page
        assert [message["content"] for message in page["data"]["messages"]] == list(
            map(str, range(number + 1))
        )


@pytest.mark.parametrize("query", QUERIES)
async def test_every_query_takes_a_cursor(client: Any, app_id: str, query: str) -> None:
    sent = await client.send(app_id, "hello")
    asked = parameters_of(query, app_id, sent["messageId"])
    found = await client.get(f"/v1/queries/{query}", **asked, minCursor=sent["cursor"])
    assert found["code"] == 0, found


async def test_the_cursor_of_a_push_is_one_too(client: Any, app_id: str) -> None:
    async with client.gateway(app_id, "gw") as gateway:
        await gateway.wait_for_code(2000)
        sent = await client.send(app_id, "hello")
        [push] = await gateway.wait_for_code(2001)
    found = await client.get(
        "/v1/queries/message", appId=app_id, messageId=sent["messageId"], minCursor=push["cursor"]
    )
    assert found["data"]["content"] == "hello"


async def test_what_is_not_there_yet_is_said_to_come(client: Any, app_id: str) -> None:
    sent = await client.send(app_id, "hello")
    cursor = Cursor.parse(sent["cursor"])
    later = str(Cursor(cursor.epoch, EntryId(cursor.entry.ms + 86_400_000, 0)))
    found = await client.get("/v1/queries/messages", appId=app_id, groupId="g", minCursor=later)
    assert (found["code"], found["data"]) == (50301, None)


@pytest.mark.parametrize("bad", ["x", "1-0", "e.", "e.1", "e.-1-0", "e.1-0 ", "e.1-0.2"])
async def test_what_is_no_cursor_is_named(client: Any, app_id: str, bad: str) -> None:
    found = await client.get("/v1/queries/messages", appId=app_id, groupId="g", minCursor=bad)
    assert found["code"] == 40001
    assert "minCursor" in found["message"]
