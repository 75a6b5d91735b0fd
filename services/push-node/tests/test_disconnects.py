"""Operators disconnect gateways, on whichever node and door they are."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import structlog
from imc_contracts import names
from imc_contracts.roster import Member
from imc_push_node.cluster import disconnects, roster
from imc_push_node.cluster.roster_pages import RosterPages
from imc_testkit.gateway import connect, connect_at
from imc_testkit.waiting import wait_until

REASON = "maintenance 维护"


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


def path(node: Any, app_id: str, gateway_id: str) -> str:
    return f"{node.url}/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}/disconnect"


def java(node: Any, app_id: str, gateway_id: str) -> Any:
    return connect_at(f"{node.url}/chat/message/broadcast/{app_id}/{quote(gateway_id, safe='')}")


async def rows_of(app_log: Any) -> int:
    return len(await app_log.members(names.roster(app_log.shard)))


async def test_all_connections_of_a_gateway_end_on_all_nodes_and_doors(
    start_node: Any, app_log: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 0.05)
    first, second, third = await start_node(), await start_node(), await start_node()
    app_id, gateway_id = app_log.app_id, "a/b c"
    async with (
        connect(first.url, app_id, gateway_id) as v1,
        java(first, app_id, gateway_id) as java_here,
        java(second, app_id, gateway_id) as java_there,
        connect(second.url, app_id, "another") as another,
    ):
        for gateway in (v1, java_here, java_there, another):
            await gateway.wait_for_code(2000)

        async def are_listed() -> bool:
            return await rows_of(app_log) == 4

        await wait_until(are_listed)
        # The node that is asked has none of them.
        reply = await http.post(path(third, app_id, gateway_id), json={"reason": REASON})
        assert reply.json()["data"] == {"disconnected": 3}, reply.text
        for gateway in (v1, java_here, java_there):
            assert await gateway.wait_closed() == 4410
            assert gateway.websocket.close_reason == REASON
        assert another.close_code is None
        again = await http.post(path(third, app_id, gateway_id))
        assert (again.status_code, again.json()["code"]) == (404, 40403)
        await app_log.send()
        await another.wait_for_code(2001)


async def test_a_gateway_that_is_not_listed_yet_is_found(
    start_node: Any, app_log: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 3600)
    monkeypatch.setattr(disconnects, "UNLISTED_SECONDS", 10)
    node = await start_node()
    async with connect(node.url, app_log.app_id, "new") as gateway:
        await gateway.wait_for_code(2000)
        reply = await http.post(path(node, app_log.app_id, "new"))
        assert reply.json()["data"] == {"disconnected": 1}
        assert await gateway.wait_closed() == 4410
        assert gateway.websocket.close_reason == "disconnected by an operator"


async def test_a_gateway_of_another_app_is_left_alone(
    node: Any, app_log: Any, http: httpx.AsyncClient
) -> None:
    async with connect(node.url, app_log.app_id + "x", "g") as other:
        await other.wait_for_code(2000)
        reply = await http.post(path(node, app_log.app_id, "g"))
        assert (reply.status_code, reply.json()["code"]) == (404, 40403)
        assert other.close_code is None


async def test_a_node_that_does_not_answer_is_told_of(
    start_node: Any, app_log: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(disconnects, "ANSWER_SECONDS", 0.3)
    node = await start_node()
    async with connect(node.url, app_log.app_id, "g") as gateway:
        await gateway.wait_for_code(2000)

        async def is_listed() -> bool:
            return await rows_of(app_log) == 1

        await wait_until(is_listed)
        monkeypatch.setattr(names, "read_disconnect", lambda _payload: None)
        reply = await http.post(path(node, app_log.app_id, "g"))
        assert (reply.status_code, reply.json()["code"]) == (503, 50301)
        assert "does not answer" in reply.json()["message"]
        assert gateway.close_code is None


async def test_one_of_two_nodes_that_does_not_answer_is_told_of(
    node: Any, app_log: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disconnects, "ANSWER_SECONDS", 0.3)
    redis, silent = app_log.redis, f"silent-{app_log.app_id}"
    async with connect(node.url, app_log.app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        seconds, _ = await redis.time()
        record = orjson.dumps({"name": "", "id": silent, "address": ""})
        await redis.zadd(names.PROCESSES, {record: seconds * 1000})
        await redis.zadd(names.roster(app_log.shard), {Member(app_log.app_id, "g", silent, 1).encode(): 0})
        with structlog.testing.capture_logs() as told:
            reply = await http.post(path(node, app_log.app_id, "g"))
        await redis.zrem(names.PROCESSES, record)
        assert (reply.status_code, reply.json()["code"]) == (503, 50301)
        assert "does not answer" in reply.json()["message"]
        assert await gateway.wait_closed() == 4410
    [line] = [each for each in told if each["event"] == "gateway disconnected"]
    assert (line["gatewayId"], line["connections"]) == ("g", 1)


async def test_a_gateway_that_comes_too_late_for_the_command_is_told_once_more(
    start_node: Any, app_log: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 0.05)
    node = await start_node()
    commands, read_disconnect, nodes_of = list[Any](), names.read_disconnect, RosterPages.nodes_of

    def read_all_but_the_first(payload: Any) -> Any:
        command = read_disconnect(payload)
        if command is not None:
            commands.append(command)
        return command if len(commands) > 1 else None

    async def nodes_from_then_on(pages: RosterPages, app_id: str, gateway_id: str) -> set[str]:
        return await nodes_of(pages, app_id, gateway_id) if commands else set()

    monkeypatch.setattr(names, "read_disconnect", read_all_but_the_first)
    monkeypatch.setattr(RosterPages, "nodes_of", nodes_from_then_on)
    async with connect(node.url, app_log.app_id, "late") as gateway:
        await gateway.wait_for_code(2000)
        reply = await http.post(path(node, app_log.app_id, "late"))
        assert reply.json()["data"] == {"disconnected": 1}, reply.text
        assert await gateway.wait_closed() == 4410
    assert len(commands) == 2


async def test_answers_expire(node: Any, app_log: Any, http: httpx.AsyncClient) -> None:
    async with connect(node.url, app_log.app_id, "g") as gateway:
        await gateway.wait_for_code(2000)
        await http.post(path(node, app_log.app_id, "g"))
        pattern = names.disconnected(app_log.shard, "*").replace("{", "\\{").replace("}", "\\}")
        keys = [key async for key in app_log.redis.scan_iter(match=pattern)]
        assert keys
        assert all([0 < await app_log.redis.pttl(key) <= disconnects.KEEP_MS for key in keys])
        await asyncio.wait_for(gateway.wait_closed(), 10)


@pytest.mark.parametrize(
    ("body", "media_type", "status", "words"),
    [
        (b'{"reason": 5}', "application/json", 400, "reason is not a string: it must be at most 123 bytes"),
        ("é".join(['{"reason":"', *[""] * 61, '"}']).encode(), "application/json", 400, "reason"),
        (b"[]", "application/json", 400, "body is not a JSON object"),
        (b"{", "application/json", 400, "body is not valid JSON"),
        (b'{"reason": "x"}', "text/plain", 415, "the body must be JSON"),
        (b"{" + b" " * 5000 + b"}", "application/json", 413, "over the limit of 4096 bytes"),
    ],
)
async def test_what_is_malformed_is_named(
    node: Any, http: httpx.AsyncClient, body: bytes, media_type: str, status: int, words: str
) -> None:
    reply = await http.post(path(node, "app", "g"), content=body, headers={"Content-Type": media_type})
    assert reply.status_code == status, reply.text
    assert words in reply.json()["message"]


async def test_ids_are_checked(node: Any, http: httpx.AsyncClient) -> None:
    reply = await http.post(f"{node.url}/v1/gateways/%20a/g/disconnect")
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert reply.json()["message"].startswith("appId is not valid")
    reply = await http.get(f"{node.url}/v1/gateways/a/g/disconnect")
    assert (reply.status_code, reply.json()["code"]) == (405, 40500)
