"""Gateways that list their groups, at a real node: what they write, what they get, and what is refused."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_contracts.cursor import Cursor
from imc_contracts.events import message_sent
from imc_contracts.views import Message
from imc_push_node.cluster import monitor
from imc_push_node.gateway.gateway import State
from imc_push_node.http import connection
from imc_testkit.gateway import Gateway, connect_at
from imc_testkit.raw_gateway import RawGateway
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import frame

LARGE = "x" * 60_000
ENOUGH = 150
"""So many large messages fill the buffers of kernel and node."""


@contextlib.asynccontextmanager
async def listing(
    url: str,
    app_id: str,
    gateway_id: str,
    *groups: str,
    cursor: Any = None,
    notices: bool = False,
    **options: Any,
) -> AsyncGenerator[Gateway]:
    """A gateway that has listed its groups."""
    query = f"?groups=listed{f'&cursor={cursor}' if cursor else ''}{'&notices=1' if notices else ''}"
    async with connect_at(f"{url}/v1/gateways/{app_id}/{gateway_id}{query}", **options) as gateway:
        await gateway.wait_for_code(2000)
        await change(gateway, addGroups=groups)
        yield gateway


def narrow_socket(url: str) -> socket.socket:
    """A socket whose kernel takes little on its own."""
    host, port = url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    return narrow


async def change(gateway: Gateway, **fields: Any) -> dict[str, Any]:
    """Change the groups of a gateway; returns the 2007."""
    count = len(gateway.with_code(2007))
    await gateway.send_json(fields)
    return (await gateway.wait_for_code(2007, count + 1))[-1]


async def refusal(gateway: Gateway, fields: Any) -> dict[str, Any]:
    """The 4001 that answers a frame."""
    count = len(gateway.with_code(4001))
    await gateway.send_json(fields)
    return (await gateway.wait_for_code(4001, count + 1))[-1]


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


def message_in(app_log: Any, group: str, content: str | None = None) -> Message:
    message: Message = app_log.message(content)
    message["groupId"] = group
    return message


async def send_in(app_log: Any, *groups: str, content: str | None = None) -> list[Cursor]:
    """Append a message in each of the groups, as one batch."""
    return await app_log.append(*(message_sent(message_in(app_log, group, content)) for group in groups))


async def test_only_the_events_of_listed_groups_come(node: Any, app_log: Any) -> None:
    message = message_in(app_log, "a")
    async with listing(node.url, app_log.app_id, "one", "a", "group", notices=True) as gateway:
        await app_log.append(message_sent(message))
        await send_in(app_log, "b", "a", "c")
        await gateway.wait_for_code(2001, 2)
        recall = await app_log.recall(message)
        notices = await app_log.notices()
        await gateway.wait_for_code(2005)
        assert [frame["code"] for frame in gateway.frames] == [2000, 2007, 2001, 2001, 2002, 2004, 2005]
        assert contents(gateway) == ["1", "3"]
        cursors = [frame["cursor"] for frame in gateway.frames[-3:]]
        assert cursors == [str(recall), *map(str, notices)]


async def test_groups_are_added_and_taken_away_while_messages_come(node: Any, app_log: Any) -> None:
    async with listing(node.url, app_log.app_id, "one", "a") as gateway:
        await send_in(app_log, "b", "a")
        await gateway.wait_for_code(2001)
        added = await change(gateway, addGroups=["b"], removeGroups=["a", "never held"])
        last = (await send_in(app_log, "a", "b"))[-1]
        await gateway.wait_for(lambda frame: frame.get("cursor") == str(last))
        assert contents(gateway) == ["2", "4"]
        assert added["data"] == 1


async def test_what_came_between_2000_and_the_list_is_not_missed(node: Any, app_log: Any) -> None:
    url = f"{node.url}/v1/gateways/{app_log.app_id}/one?groups=listed"
    async with connect_at(url) as gateway:
        await gateway.wait_for_code(2000)
        await send_in(app_log, "a", "b", "a")
        await wait_until(lambda: node.app(app_log.app_id).delivery.outbox.has_begun)
        assert node.gateway(app_log.app_id, "one").state is State.LISTING
        await change(gateway, addGroups=["b"], more=True)
        await change(gateway, addGroups=["a"])
        await gateway.wait_for_code(2001, 3)
        assert contents(gateway) == ["1", "2", "3"]


async def test_it_resumes_with_exactly_what_followed_in_its_groups(node: Any, app_log: Any) -> None:
    cursors = await send_in(app_log, *"abcabcabc")
    async with listing(node.url, app_log.app_id, "one", "a", "c", cursor=cursors[3]) as gateway:
        (connected,) = gateway.with_code(2000)
        assert (connected["cursor"], connected["recovered"]) == (str(cursors[3]), True)
        await gateway.wait_for_code(2001, 3)
        await send_in(app_log, "b", "a")
        await gateway.wait_for_code(2001, 4)
        assert contents(gateway) == ["6", "7", "9", "11"]


async def test_a_cursor_of_another_log_is_a_gap_before_the_list(node: Any, app_log: Any) -> None:
    last = (await send_in(app_log, "a", "a"))[-1]
    async with listing(node.url, app_log.app_id, "one", "a", cursor="abcdef.5-0") as gateway:
        (connected,) = gateway.with_code(2000)
        (gap,) = await gateway.wait_for_code(4002)
        assert (connected["recovered"], connected["cursor"]) == (False, str(last))
        assert gap["data"] == {"from": "abcdef.5-0", "to": str(last)}
        await send_in(app_log, "b", "a")
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["4"]


async def test_a_deep_resume_comes_from_the_database(start_node: Any, app_log: Any, query_api: Any) -> None:
    node = await start_node(query_api_url=query_api.url)
    cursors = await send_in(app_log, *"abababab")
    await app_log.trim(cursors[6])
    async with listing(node.url, app_log.app_id, "one", "a", cursor=cursors[1]) as gateway:
        assert gateway.with_code(2000)[0]["recovered"]
        await gateway.wait_for_code(2001, 3)
        assert contents(gateway) == ["3", "5", "7"]
        assert gateway.with_code(4002) == []


async def test_the_position_of_a_quiet_gateway_moves(
    node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "POSITION_SECONDS", 0.1)
    async with listing(node.url, app_log.app_id, "one", "quiet") as gateway:
        (last,) = await send_in(app_log, "a")
        told = await gateway.wait_for(
            lambda frame: frame["code"] == 2008 and frame["cursor"] == str(last), timeout=30
        )
        assert (told["success"], told["data"]) == (True, None)
    async with listing(node.url, app_log.app_id, "one", "a", cursor=last) as gateway:
        await send_in(app_log, "a")
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["2"]


async def test_a_slow_gateway_gets_everything_of_its_groups(start_node: Any, app_log: Any) -> None:
    node = await start_node(gateway_buffer_bytes=65_536)
    narrow = narrow_socket(node.url)
    async with listing(node.url, app_log.app_id, "one", "a", sock=narrow) as gateway:
        gateway.websocket.transport.pause_reading()
        app = node.app(app_log.app_id)
        for _ in range(ENOUGH):
            await send_in(app_log, "a", "b", content=LARGE)
        await wait_until(lambda: app.delivery.number_in(State.LAGGING) == 1)
        gateway.websocket.transport.resume_reading()
        await gateway.wait_for_code(2001, ENOUGH, timeout=60)
        await wait_until(lambda: app.delivery.number_in(State.LAGGING) == 0)
        (last,) = await send_in(app_log, "a")
        await gateway.wait_for(lambda frame: frame.get("cursor") == str(last))
        assert len(gateway.with_code(2001)) == ENOUGH + 1
        assert {frame["data"]["groupId"] for frame in gateway.with_code(2001)} == {"a"}


BAD_CHANGES = {
    "no list": ({"addGroups": "a"}, "addGroups is not a list"),
    "no id": ({"addGroups": ["a", ""]}, "addGroups[1] is not valid: it must be 1 to 127 characters"),
    "too long an id": ({"removeGroups": ["x" * 128]}, "removeGroups[0] is too long: it must be 1 to 127"),
    "a number": ({"addGroups": [5]}, "addGroups[0] is not a string"),
    "too many": (
        {"addGroups": [f"g{number}" for number in range(10_001)]},
        "addGroups has too many entries: it must be a list of at most 10000 groupIds",
    ),
    "more": ({"addGroups": ["b"], "more": "yes"}, "more is not valid: it must be true or false"),
}


@pytest.mark.parametrize(("fields", "words"), BAD_CHANGES.values(), ids=BAD_CHANGES)
async def test_a_bad_change_is_refused_whole(node: Any, app_log: Any, fields: Any, words: str) -> None:
    async with listing(node.url, app_log.app_id, "one", "a") as gateway:
        refused = await refusal(gateway, {"addGroups": ["b"], "removeGroups": ["a"], **fields})
        assert refused["message"].startswith(words)
        assert refused["data"] == {"error": 40001, "retryable": False, "groupsHeld": 1}
        assert (await change(gateway, addGroups=[]))["data"] == 1
        await send_in(app_log, "b", "a")
        await gateway.wait_for_code(2001)
        assert contents(gateway) == ["2"]


async def test_a_gateway_that_gets_everything_lists_nothing(node: Any, app_log: Any) -> None:
    async with connect_at(f"{node.url}/v1/gateways/{app_log.app_id}/one") as gateway:
        await gateway.wait_for_code(2000)
        refused = await refusal(gateway, {"addGroups": ["a"]})
        assert "connect with groups=listed" in refused["message"]
        assert refused["data"] == {"error": 40001, "retryable": False}
        await send_in(app_log, "b")
        await gateway.wait_for_code(2001)


async def test_a_send_is_a_send_whatever_stands_beside_it(node: Any, app_log: Any) -> None:
    async with listing(node.url, app_log.app_id, "one", "a") as gateway:
        refused = await refusal(gateway, {"groupId": "a", "userId": "u", "addGroups": ["b"]})
        assert refused["message"].startswith("content is missing")
        refused = await refusal(gateway, [{"addGroups": ["b"]}])
        assert refused["message"].startswith("[0].groupId is missing")
        assert (await change(gateway, removeGroups=[]))["data"] == 1


async def test_the_java_door_knows_no_groups(node: Any, app_log: Any) -> None:
    url = f"{node.url}/chat/message/broadcast/{app_log.app_id}/one?groups=listed"
    async with connect_at(url) as gateway:
        await gateway.wait_for_code(2000)
        assert (await refusal(gateway, {"addGroups": ["a"]}))["data"] is None
        await send_in(app_log, "b")
        await gateway.wait_for_code(2001)


async def test_groups_in_the_query_are_listed_or_left_out(node: Any, app_log: Any) -> None:
    async with connect_at(f"{node.url}/v1/gateways/{app_log.app_id}/one?groups=all") as gateway:
        (refused,) = await gateway.wait_for_code(4000)
        assert refused["message"].startswith("groups is not valid: it must be listed, or be left out")
        assert refused["data"] == {"error": 40001, "retryable": False}
        assert await gateway.wait_closed() == 1008


async def test_a_node_that_is_full_of_groups_says_so(start_node: Any, app_log: Any) -> None:
    node = await start_node(listed_node_groups=2)
    async with listing(node.url, app_log.app_id, "one", "a") as gateway:
        refused = await refusal(gateway, {"addGroups": ["b", "c"]})
        assert refused["data"] == {
            "error": 50301, "retryable": True, "retryAfter": 10_000, "groupsHeld": 1,
        }  # fmt: skip
        assert (await change(gateway, addGroups=["b"]))["data"] == 2


async def test_who_changes_too_many_groups_is_closed(
    node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_GROUP_CHANGES", 203)
    async with listing(node.url, app_log.app_id, "one", "a") as gateway:
        await gateway.send_json({"addGroups": ["b"], "removeGroups": ["a", "c"]})
        assert await gateway.wait_closed() == 1008
        assert "groups were added and removed" in (gateway.websocket.close_reason or "")


async def test_a_change_and_the_close_after_it_in_one_read(node: Any, app_log: Any) -> None:
    async with RawGateway.connecting(node.url, app_log.app_id, "one?groups=listed") as raw:
        await raw.read_until(b'"code":2000')
        raw.write(frame(b'{"addGroups":["a"]}') + frame(b"\x03\xe8", 8))
        assert await raw.close_code() == 1000
        await wait_until(lambda: not node.app(app_log.app_id).delivery.gateways)


async def test_many_gateways_each_get_their_own(node: Any, app_log: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(
                listing(node.url, app_log.app_id, f"gateway-{number}", f"group {number}", "all")
            )
            for number in range(20)
        ]
        for _ in range(5):
            await send_in(app_log, *(f"group {number}" for number in range(20)), "all")
        await asyncio.gather(*(gateway.wait_for_code(2001, 10) for gateway in gateways))
        for number, gateway in enumerate(gateways):
            groups = [frame["data"]["groupId"] for frame in gateway.with_code(2001)]
            assert groups == [f"group {number}", "all"] * 5
