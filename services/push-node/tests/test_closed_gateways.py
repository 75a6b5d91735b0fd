"""Gateways that the node has closed and that are not back: what operators see of them, and the log."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import orjson
import pytest
import structlog
from imc_contracts import names
from imc_contracts.codes import CloseCode
from imc_contracts.events import message_sent
from imc_contracts.roster import Member, close_field
from imc_push_node.cluster import roster, stuck_gateways
from imc_push_node.cluster.stuck_gateways import StuckGateways
from imc_push_node.gateway.gateway import Amount, Gateway, State
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import connect as connect_websocket

LARGE = "x" * 60_000
ENOUGH = 150
"""So many large messages fill the buffers of kernel and node."""

STALLED = "no progress: took nothing for 1 seconds"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written many times a second."""
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 0.05)


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def listed(http: httpx.AsyncClient, app_log: Any) -> Any:
    """Lists the gateways of the app as a node tells them."""

    async def listed(node: Any, state: str, /, **more: Any) -> list[dict[str, Any]]:
        query = {"appId": app_log.app_id, "state": state, **more}
        reply = (await http.get(f"{node.url}/v1/gateways", params=query)).json()
        assert reply["success"], reply
        return reply["data"]["gateways"]

    return listed


async def ids_become(listed: Any, node: Any, state: str, *expected: str) -> list[dict[str, Any]]:
    """The gateways in a state, once they are these."""

    async def found() -> tuple[list[dict[str, Any]]] | None:
        gateways = await listed(node, state)
        return (gateways,) if [each["gatewayId"] for each in gateways] == list(expected) else None

    [gateways] = await wait_until(found, 20, what=f"{expected} {state}") or [[]]
    return gateways


def slow_connection(url: str, app_id: str, gateway_id: str) -> Any:
    """A gateway that reads only when it is asked to, and whose kernel takes little on its own."""
    host, port = url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    address = f"ws{url.removeprefix('http')}/v1/gateways/{app_id}/{gateway_id}"
    return connect_websocket(address, sock=narrow, max_queue=1, proxy=None, ping_interval=None)


async def fill(app_log: Any) -> None:
    for index in range(ENOUGH):
        await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))


def live(node: Any) -> dict[str, Gateway]:
    """The gateways that get pushes as they come."""
    gateways = node.push_node.connections.hub.gateways
    return {each.gateway_id: each for each in gateways if each.state is State.LIVE}


async def test_one_that_takes_nothing_is_listed_after_its_close_until_it_is_back(
    start_node: Any, app_log: Any, listed: Any
) -> None:
    other = await start_node(port=2)
    node = await start_node(port=1, gateway_buffer_bytes=65_536, stall_seconds=1)
    slow = await slow_connection(node.url, app_log.app_id, "slow")
    await slow.recv()
    with structlog.testing.capture_logs() as told:
        await fill(app_log)
        [behind] = await ids_become(listed, node, "behind", "slow")
        assert behind["state"] == "lagging"
        [closed] = await ids_become(listed, other, "closed", "slow")
    assert await listed(other, "connected") == await listed(other, "behind") == []
    assert (closed["state"], closed["node"]) == ("closed", behind["node"])
    assert (closed["lastClose"]["code"], closed["lastClose"]["reason"]) == (4408, STALLED)
    assert closed["connectedAt"] == behind["connectedAt"] < closed["lastClose"]["time"]
    assert 0 < closed["lagEntries"] < ENOUGH
    assert await listed(other, "closed", node=behind["node"]) == [closed]
    assert await listed(other, "closed", node="nowhere:1") == []
    [line] = [each for each in told if each["event"] == "a gateway is closed"]
    assert {key: line[key] for key in ("log_level", "appId", "gatewayId", "reason")} == {
        "log_level": "warning",
        "appId": app_log.app_id,
        "gatewayId": "slow",
        "reason": STALLED,
    }
    assert (line["lagEntries"], line["lagBytes"]) == (closed["lagEntries"], closed["lagBytes"])
    async with connect(other.url, app_log.app_id, "slow") as back:
        await back.wait_for_code(2000)
        [connected] = await ids_become(listed, node, "connected", "slow")
        assert connected["lastClose"] == closed["lastClose"]
        await ids_become(listed, node, "closed")
        await back.websocket.close()
    await ids_become(listed, node, "connected")
    assert await listed(node, "closed") == [], "it left in order since"
    slow.transport.abort()


async def test_one_that_has_caught_up_is_not_behind(start_node: Any, app_log: Any, listed: Any) -> None:
    node = await start_node(gateway_buffer_bytes=65_536)
    async with slow_connection(node.url, app_log.app_id, "slow") as slow:
        await slow.recv()
        await fill(app_log)
        await ids_become(listed, node, "behind", "slow")
        gateway = node.gateway(app_log.app_id, "slow")
        while gateway.socket.is_full or node.app(app_log.app_id).delivery.full:
            await slow.recv()
        await ids_become(listed, node, "behind")
        await ids_become(listed, node, "connected", "slow")


@pytest.mark.parametrize("code", CloseCode)
async def test_what_ends_in_order_needs_no_look(
    start_node: Any, app_log: Any, listed: Any, code: CloseCode
) -> None:
    node = await start_node()
    async with connect(node.url, app_log.app_id, "a"), connect(node.url, app_log.app_id, "b"):
        await wait_until(lambda: len(live(node)) == 2)
        live(node)["a"].socket.close(code, "why")
        # What is closed later is written later, or together.
        live(node)["b"].socket.close(CloseCode.NO_PROGRESS, "why")
        await ids_become(listed, node, "closed", *(["b"] if code.is_orderly else ["a", "b"]))
    assert {each for each in CloseCode if each.is_orderly} == {1001, 1012, 1013, 4409}


async def test_pages_hold_each_once_but_none_of_those_that_are_back(
    start_node: Any, app_log: Any, listed: Any, http: httpx.AsyncClient
) -> None:
    node, app_id = await start_node(), app_log.app_id
    gateway_ids = [f"g{number:02d}" for number in range(12)]
    async with contextlib.AsyncExitStack() as stack:
        for gateway_id in gateway_ids:
            await stack.enter_async_context(connect(node.url, app_id, gateway_id))
        await wait_until(lambda: len(live(node)) == 12)
        for gateway in live(node).values():
            gateway.socket.close(CloseCode.NO_PROGRESS, "why")
    await ids_become(listed, node, "closed", *gateway_ids)
    async with contextlib.AsyncExitStack() as stack:
        for gateway_id in gateway_ids[:7]:
            await stack.enter_async_context(connect(node.url, app_id, gateway_id))
        await ids_become(listed, node, "connected", *gateway_ids[:7])
        # The first pass reads and removes those that are back. With two a page it finds one more than fits.
        for limit in (2, 1, 5, 500):
            seen, after, more = list[str](), "", True
            while more:
                query: dict[str, Any] = {"appId": app_id, "state": "closed", "limit": limit, "after": after}
                page = (await http.get(f"{node.url}/v1/gateways", params=query)).json()["data"]
                assert 0 < len(page["gateways"]) <= limit
                seen += [each["gatewayId"] for each in page["gateways"]]
                after, more = page["next"], page["hasMore"]
            assert seen == gateway_ids[7:]
        hour = int(time.time() // 3600)
        sets = [names.closed(app_log.shard, each) for each in (hour, hour - 1)]
        left = {each for key in sets for each in await app_log.members(key)}
        assert left == {close_field(app_id, each) for each in gateway_ids[7:]}


async def note_close(app_log: Any, gateway_id: str, at: float, hour: int) -> None:
    """Say that a node closed a gateway at a time, and noted it among those of an hour."""
    row = {"door": "v1", "connectedAt": 1, "state": "live"}
    close = {"code": 4408, "reason": "", "time": int(at * 1000), "node": "n:1", "row": row}
    field, shard = close_field(app_log.app_id, gateway_id), app_log.shard
    await app_log.redis.hset(names.closes(shard, hour), field, orjson.dumps(close))
    await app_log.redis.zadd(names.closed(shard, hour), {field: 0})


async def test_a_connection_that_a_dead_node_left_behind_is_none(
    node: Any, app_log: Any, listed: Any
) -> None:
    redis, shard, now = app_log.redis, app_log.shard, time.time()
    of_the_dead = Member(app_log.app_id, "one", "a-process-that-is-gone", 7).encode()
    await redis.hset(names.roster_rows(shard), of_the_dead, "{}")
    await redis.zadd(names.roster(shard), {of_the_dead: 0})
    await note_close(app_log, "one", now, int(now // 3600))
    assert [each["gatewayId"] for each in await listed(node, "closed")] == ["one"]


async def test_so_many_are_kept_of_a_shard_and_an_hour(
    node: Any, app_log: Any, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "MOST_CLOSES", 3)

    async def are_gone() -> bool:
        return await app_log.members(names.roster(app_log.shard)) == []

    for gateway_ids in (["a", "b"], ["c", "d", "e"]):
        async with contextlib.AsyncExitStack() as stack:
            for gateway_id in gateway_ids:
                await stack.enter_async_context(connect(node.url, app_log.app_id, gateway_id))
            await ids_become(listed, node, "connected", *gateway_ids)
            for gateway in live(node).values():
                gateway.socket.close(CloseCode.NO_PROGRESS, "why")
        await wait_until(are_gone)
    assert len(await listed(node, "closed")) == 3


async def test_after_an_hour_it_is_not_listed(node: Any, app_log: Any, listed: Any) -> None:
    now = time.time()
    for gateway_id, age in (("new", 3000), ("old", 3700)):
        await note_close(app_log, gateway_id, now - age, int(now // 3600) - 1)
    assert [each["gatewayId"] for each in await listed(node, "closed")] == ["new"]
    async with connect(node.url, app_log.app_id, "new"):
        [connected] = await ids_become(listed, node, "connected", "new")
        assert connected["lastClose"] == {"code": 4408, "reason": "", "time": int((now - 3000) * 1000)}
        assert await listed(node, "closed") == []


class AGateway:
    """What the log has of a gateway."""

    app_id = gateway_id = "g"
    socket = type("", (), {"ending": (4408, "why")})

    def lag(self, told: Amount) -> None:
        return None


async def test_a_fleet_that_is_cut_off_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck_gateways, "PERIOD_SECONDS", 0.02)
    stuck, gateway = StuckGateways(), AGateway()
    with structlog.testing.capture_logs() as told:
        for _ in range(10_000):
            stuck.closed(gateway, Amount(0, 0))  # pyright: ignore[reportArgumentType]
        assert len(told) == 20
        await wait_until(lambda: len(told) == 21)
        assert (told[-1]["log_level"], told[-1]["count"]) == ("warning", 9_980)
        stuck.closed(gateway, Amount(0, 0))  # pyright: ignore[reportArgumentType]
        assert (len(told), told[-1]["lagEntries"]) == (22, None)
        await asyncio.sleep(0)
        for _ in range(20):
            stuck.closed(gateway, Amount(0, 0))  # pyright: ignore[reportArgumentType]
        stuck.close()
        assert told[-1]["count"] == 1
        stuck.close()
        assert len(told) == 42
