"""What gateways write, and the answers they get."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson
import pytest
from fastapi import Response
from imc_push_node.forwarding.forwarder import BATCH_BYTES
from imc_testkit.gateway import Gateway, connect
from imc_testkit.waiting import wait_until

BODY = {"groupId": "g", "userId": "u"}


def body(content: str, own_id: str | None = None) -> dict[str, Any]:
    return {**BODY, "content": content, **({"clientMessageId": own_id} if own_id else {})}


def reply(
    status: int, content: Any = None, code: int | None = None, **headers: str
) -> Callable[[list[dict[str, Any]]], Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    envelope = {"success": False, "code": code or status * 100 + 1, "message": f"says {status}", "data": None}
    return lambda _messages: Response(orjson.dumps(content or envelope), status_code=status, headers=named)


def each(*items: Any) -> Callable[[list[dict[str, Any]]], Response]:
    return reply(200, {"success": True, "code": 0, "message": "success", "data": list(items)})


def receipt(message_id: str, duplicate: bool = False) -> dict[str, Any]:
    return {"messageId": message_id, "createTime": 5, "cursor": "line.1-0", "duplicate": duplicate}


def failure(code: int, message: str) -> dict[str, Any]:
    return {"success": False, "code": code, "message": message, "data": None}


def contents(command_api: Any) -> list[str]:
    return [message["content"] for call in command_api.calls for message in call]


@pytest.fixture
async def gateway(start_node: Any, command_api: Any, app_id: str) -> AsyncGenerator[Gateway]:
    node = await start_node(command_api_url=command_api.url, forward_seconds=1)
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        yield gateway


async def test_a_send_with_an_own_id_is_acknowledged(gateway: Any, command_api: Any, app_id: str) -> None:
    command_api.answers = [each(receipt("77", duplicate=True))]
    await gateway.send_json({**body("hello 日本", "mine"), "type": 3})
    (acknowledged,) = await gateway.wait_for_code(2003)
    assert acknowledged["data"] == {
        "clientMessageId": "mine",
        "messageId": "77",
        "createTime": 5,
        "duplicate": True,
    }
    expected = {**body("hello 日本", "mine"), "type": 3, "appId": app_id}
    assert command_api.calls == [[expected]]


async def test_a_good_send_without_one_is_answered_by_nothing(gateway: Any, command_api: Any) -> None:
    await gateway.send_json(body("quiet"))
    await gateway.send_json(body("loud", "mine"))
    await gateway.wait_for_code(2003)
    assert [frame["code"] for frame in gateway.frames] == [2000, 2003]
    assert contents(command_api) == ["quiet", "loud"]


async def test_items_that_fail_are_refused_alone(gateway: Any, command_api: Any) -> None:
    command_api.answers = [each(failure(40904, "reused"), receipt("2"), failure(42901, "quota"))]
    await gateway.send_json([body("0", "a"), body("1", "b"), {"groupId": "g"}, body("3")])
    frames = await gateway.wait_for_code(4001, 3)
    assert frames[0]["message"].startswith("[2].")
    assert [(frame["message"], frame["data"]) for frame in frames[1:]] == [
        ("reused", {"error": 40904, "retryable": False, "clientMessageId": "a", "index": 0}),
        ("quota", {"error": 42901, "retryable": True, "index": 3}),
    ]
    (acknowledged,) = gateway.with_code(2003)
    assert acknowledged["data"]["clientMessageId"] == "b"


async def test_a_batch_is_of_bounded_size(gateway: Any, command_api: Any) -> None:
    items = [body(f"{index}".ljust(60_000, "."), str(index)) for index in range(30)]
    await gateway.send_json(items)
    await gateway.wait_for_code(2003, 30)
    assert [message["clientMessageId"] for call in command_api.calls for message in call] == [
        str(index) for index in range(30)
    ]
    assert len(command_api.calls) == 2
    assert all(sum(len(message["content"]) for message in call) < BATCH_BYTES for call in command_api.calls)


async def test_what_comes_while_a_batch_is_under_way_goes_together(gateway: Any, command_api: Any) -> None:
    command_api.gate.clear()
    await gateway.send_json(body("first"))
    await wait_until(lambda: command_api.calls)
    for index in range(1200):
        await gateway.send_json(body(str(index), str(index)))
    await gateway.send_text("the node has read everything before this")
    await gateway.wait_for_code(4001)
    assert len(command_api.calls) == 1
    command_api.gate.set()
    acknowledged = await gateway.wait_for_code(2003, 1200)
    assert [len(call) for call in command_api.calls] == [1, 500, 500, 200]
    assert contents(command_api) == ["first", *map(str, range(1200))]
    own_ids = [frame["data"]["clientMessageId"] for frame in acknowledged]
    assert own_ids == [str(index) for index in range(1200)]


async def test_it_is_tried_again_while_nothing_is_accepted(gateway: Any, command_api: Any) -> None:
    away = failure(50301, "away")
    command_api.answers = [reply(503), each(away, away), reply(503)]
    await gateway.send_json([body("0", "a"), body("1")])
    await gateway.wait_for_code(2003)
    assert [len(call) for call in command_api.calls] == [2, 2, 2, 2]
    assert gateway.with_code(4001) == []


async def test_it_is_given_up_after_some_time(gateway: Any, command_api: Any) -> None:
    command_api.answers = [reply(503)] * 100
    await gateway.send_json([body("0", "a"), body("1")])
    frames = await gateway.wait_for_code(4001, 2)
    assert all(frame["message"].startswith("not accepted") for frame in frames)
    away = {"error": 50301, "retryable": True}
    assert [frame["data"] for frame in frames] == [
        {**away, "clientMessageId": "a", "index": 0},
        {**away, "index": 1},
    ]
    assert len(command_api.calls) > 2
    command_api.answers = []
    await gateway.send_json(body("2", "b"))
    await gateway.wait_for_code(2003)


async def test_a_command_api_that_is_not_there(start_node: Any, app_id: str) -> None:
    node = await start_node(forward_seconds=0.3)
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json(body("0"))
        (frame,) = await gateway.wait_for_code(4001)
        assert frame["message"].startswith("not accepted")


@pytest.mark.parametrize(
    "broken",
    [
        reply(500),
        reply(502),
        each(failure(50001, "no answer"), failure(50001, "no answer")),
        reply(200, {"success": True}),
        reply(200, {"success": True, "code": 0, "message": "success", "data": [receipt("1")]}),
        reply(200, {"success": True, "code": 0, "message": "success", "data": [5, 6]}),
        lambda _messages: Response(b"<html>"),
    ],
)
async def test_only_what_bears_an_own_id_is_repeated_after_an_unknown_end(
    gateway: Any, command_api: Any, broken: Any
) -> None:
    command_api.answers = [broken]
    await gateway.send_json([body("0", "a"), body("1")])
    (frame,) = await gateway.wait_for_code(4001)
    assert "unknown" in frame["message"]
    # It may be in the log: without an id of its own it must not be sent again.
    assert frame["data"] == {"error": 50001, "retryable": False, "index": 1}
    (acknowledged,) = await gateway.wait_for_code(2003)
    assert acknowledged["data"]["clientMessageId"] == "a"
    assert contents(command_api) == ["0", "1", "0"]


async def test_an_end_that_stays_unknown_is_said_to_be(gateway: Any, command_api: Any) -> None:
    command_api.answers = [reply(500), *[reply(503)] * 100]
    await gateway.send_json(body("0", "a"))
    (frame,) = await gateway.wait_for_code(4001)
    assert "unknown" in frame["message"]
    assert frame["data"] == {"error": 50001, "retryable": True, "clientMessageId": "a"}


async def test_a_batch_that_is_refused_whole_is_not_repeated(gateway: Any, command_api: Any) -> None:
    command_api.answers = [reply(413)]
    await gateway.send_json([body("0", "a"), body("1")])
    frames = await gateway.wait_for_code(4001, 2)
    assert {frame["message"] for frame in frames} == {"says 413"}
    assert {frame["data"]["error"] for frame in frames} == {50001}, "no gateway sent a body over the limit"
    assert len(command_api.calls) == 1


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (429, 42901, {"error": 42901, "retryable": True, "retryAfter": 7000}),
        (400, 40001, {"error": 40001, "retryable": False}),
        (404, 40400, {"error": 50001, "retryable": False}),
        (400, 99999, {"error": 50001, "retryable": False}),
    ],
)
async def test_the_code_of_a_batch_that_is_refused_whole_is_passed_on(
    gateway: Any, command_api: Any, status: int, code: int, expected: dict[str, Any]
) -> None:
    command_api.answers = [reply(status, code=code, retry_after="7")]
    await gateway.send_json(body("0"))
    (frame,) = await gateway.wait_for_code(4001)
    assert (frame["message"], frame["data"]) == (f"says {status}", expected)


async def test_a_gateway_is_told_after_how_long_to_retry(gateway: Any, command_api: Any) -> None:
    command_api.answers = [reply(503, retry_after="3")] * 100
    await gateway.send_json(body("0", "a"))
    (frame,) = await gateway.wait_for_code(4001)
    assert frame["data"] == {
        "error": 50301,
        "retryable": True,
        "retryAfter": 3000,
        "clientMessageId": "a",
    }


async def test_apps_do_not_wait_for_each_other(start_node: Any, command_api: Any, app_id: str) -> None:
    node = await start_node(command_api_url=command_api.url)
    async with connect(node.url, app_id, "one") as one, connect(node.url, app_id + "x", "one") as two:
        await one.wait_for_code(2000)
        await two.wait_for_code(2000)
        command_api.gate.clear()
        await one.send_json(body("0", "a"))
        await wait_until(lambda: len(command_api.calls) == 1)
        await two.send_json(body("1", "b"))
        await wait_until(lambda: len(command_api.calls) == 2)
        command_api.gate.set()
        await one.wait_for_code(2003)
        await two.wait_for_code(2003)


async def test_a_gateway_is_not_read_while_too_much_of_it_waits(
    start_node: Any, command_api: Any, app_id: str
) -> None:
    node = await start_node(command_api_url=command_api.url, forward_gateway_bytes=100_000)
    async with connect(node.url, app_id, "one") as gateway, connect(node.url, app_id, "two") as other:
        await gateway.wait_for_code(2000)
        await other.wait_for_code(2000)
        command_api.gate.clear()
        count = 250
        content = "x" * 50_000

        async def write() -> None:
            for index in range(count):
                await gateway.send_json(body(content, str(index)))

        writing = asyncio.create_task(write())
        held = node.gateway(app_id, "one")
        await wait_until(lambda: held.waiting_bytes > 100_000)
        await other.send_text("others are read on")
        await other.wait_for_code(4001)
        assert held.waiting_bytes < 2_000_000
        assert not writing.done()
        command_api.gate.set()
        await gateway.wait_for_code(2003, count, timeout=20)
        await writing
        assert held.waiting_bytes == 0
        own_ids = [frame["data"]["clientMessageId"] for frame in gateway.with_code(2003)]
        assert own_ids == [str(index) for index in range(count)]


async def test_what_a_gateway_wrote_before_it_left_is_forwarded(
    start_node: Any, command_api: Any, app_id: str
) -> None:
    node = await start_node(command_api_url=command_api.url)
    command_api.gate.clear()
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json([body("0"), body("1")])
        await gateway.send_json([body("2")])
    command_api.gate.set()
    await wait_until(lambda: contents(command_api) == ["0", "1", "2"])


@pytest.mark.parametrize("status", [401, 403])
async def test_a_send_waits_for_a_service_that_does_not_know_the_node(
    start_node: Any, command_api: Any, app_id: str, status: int
) -> None:
    node = await start_node(command_api_url=command_api.url)
    command_api.answers = [reply(status), reply(status)]
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({"groupId": "g", "userId": "u", "content": "c", "clientMessageId": "mine"})
        await gateway.wait_for_code(2003)
        assert gateway.with_code(4001) == []
        assert len(command_api.calls) == 3
