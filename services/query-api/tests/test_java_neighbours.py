"""Tests the messages before and after one message on the Java door, on both kinds of database."""

from typing import Any

import httpx
import pytest

Rows = list[dict[str, Any]]

BEFORE = "/chat/message/findBeforeByMessageId"
AFTER = "/chat/message/findAfterByMessageId"


def in_order(rows: Rows, app_id: str, group_id: str) -> list[str]:
    found = [row for row in rows if (row["app_id"], row["group_id"]) == (app_id, group_id)]
    found.sort(key=lambda row: (row["create_time"], row["message_id"]))
    return [str(row["message_id"]) for row in found]


async def beside(client: httpx.AsyncClient, path: str, **parameters: Any) -> Rows:
    reply = await client.get(path, params=parameters)
    assert reply.status_code == 200, reply.text
    assert isinstance(reply.json()["data"], list)
    return reply.json()["data"]


@pytest.mark.parametrize("size", [1, 13, 500, 10_000, -1])
async def test_steps_in_either_direction_walk_the_whole_group(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], size: int
) -> None:
    group = in_order(messages, two_apps[0], "g")
    parameters = {"appId": two_apps[0], "groupId": "g", "pageSize": size}

    forth = group[:1]
    while found := await beside(client, AFTER, messageId=forth[-1], **parameters):
        forth += [message["messageId"] for message in found]
    assert forth == group

    back = group[-1:]
    while found := await beside(client, BEFORE, messageId=back[0], **parameters):
        back = [message["messageId"] for message in found] + back
    assert back == group


async def test_neighbours_are_the_nearest_messages_and_recalled_ones_have_no_content(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str]
) -> None:
    group = in_order(messages, two_apps[0], "g")
    parameters = {"appId": two_apps[0], "groupId": "g", "messageId": group[100]}
    before, after = await beside(client, BEFORE, **parameters), await beside(client, AFTER, **parameters)
    assert [message["messageId"] for message in before] == group[80:100]
    assert [message["messageId"] for message in after] == group[101:121]
    recalled = [message for message in before + after if message["status"] == 0]
    assert recalled
    assert all(message["content"] == "" and message["recallTime"] > 0 for message in recalled)


@pytest.mark.parametrize("path", [BEFORE, AFTER])
async def test_a_message_of_another_app_or_group_is_not_found(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    message = in_order(messages, two_apps[0], "g")[5]
    for app_id, group_id, message_id in (
        (two_apps[1], "g", message),
        (two_apps[0], "G", message),
        (two_apps[0], "nobody", message),
        (two_apps[0], "g", "1"),
        (two_apps[0], "g", str(2**63 - 1)),
        (two_apps[0], "g", str(2**63)),
        (two_apps[0], "g", "no number"),
    ):
        reply = await client.get(path, params={"appId": app_id, "groupId": group_id, "messageId": message_id})
        assert reply.status_code == 200
        assert reply.json() == {
            "success": False,
            "code": -1,
            "message": "there is no such message in what is asked for",
            "data": None,
        }


@pytest.mark.parametrize("path", [BEFORE, AFTER])
async def test_a_page_size_of_zero_gives_no_messages(
    client: httpx.AsyncClient, messages: Rows, two_apps: tuple[str, str], path: str
) -> None:
    message = in_order(messages, two_apps[0], "g")[5]
    assert await beside(client, path, appId=two_apps[0], groupId="g", messageId=message, pageSize=0) == []
