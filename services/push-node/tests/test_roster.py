"""The gateways that are connected, as operators list them: on all nodes, with the lag of each."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_contracts.events import message_sent
from imc_contracts.roster import Member
from imc_push_node.cluster import roster, roster_rows
from imc_push_node.gateway.gateway import State
from imc_service import presence
from imc_testkit.gateway import Gateway, connect, connect_at
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.tokens import SECRET, SERVICE_SECRET, bearer
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis
from websockets.asyncio.client import connect as connect_websocket

LARGE = "x" * 60_000
ENOUGH = 150
"""So many large messages fill the buffers of kernel and node."""

WITH_TOKENS = {"auth": "jwt", "jwt_secret": SECRET, "service_secret": SERVICE_SECRET}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written, and all shards looked at, many times a second."""
    monkeypatch.setattr(roster, "FLUSH_SECONDS", 0.05)
    monkeypatch.setattr(roster, "TOUR_SECONDS", 0.5)
    monkeypatch.setattr(presence, "PERIOD_SECONDS", 0.2)
    monkeypatch.setattr(presence, "UNREADY_SECONDS", 0.1)


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
async def own_redis() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture
def listed(http: httpx.AsyncClient) -> Any:
    """Lists the gateways as a node tells them."""

    async def listed(node: Any, /, **query: Any) -> list[dict[str, Any]]:
        reply = (await http.get(f"{node.url}/v1/gateways", params=query)).json()
        assert reply["success"], reply
        return reply["data"]["gateways"]

    return listed


def slow_connection(url: str, app_id: str, gateway_id: str) -> Any:
    """A gateway that reads only when it is asked to, and whose kernel takes little on its own."""
    host, port = url.removeprefix("http://").split(":")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    address = f"ws{url.removeprefix('http')}/v1/gateways/{app_id}/{gateway_id}"
    return connect_websocket(address, sock=narrow, max_queue=1, proxy=None, ping_interval=None)


def java(node: Any, app_id: str, gateway_id: str) -> Any:
    return connect_at(f"{node.url}/chat/message/broadcast/{app_id}/{gateway_id}")


@contextlib.asynccontextmanager
async def connected(*connections: Any) -> AsyncGenerator[list[Gateway]]:
    async with contextlib.AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(each) for each in connections]
        for gateway in gateways:
            await gateway.wait_for_code(2000)
        yield gateways


async def until_listed(
    listed: Any, node: Any, app_id: str, *expected: tuple[str, str]
) -> list[dict[str, Any]]:
    """The gateways of an app, once they are these, each with its door; in this order."""

    async def found() -> tuple[list[dict[str, Any]]] | None:
        gateways = await listed(node, appId=app_id)
        is_it = [(each["gatewayId"], each["door"]) for each in gateways] == list(expected)
        is_it = is_it and all(each["state"] == "live" for each in gateways)
        return (gateways,) if is_it else None

    [gateways] = await wait_until(found, what=f"{expected} on the list") or [[]]
    return gateways


async def test_gateways_of_all_nodes_and_doors_are_listed_in_order(
    start_node: Any, app_log: Any, listed: Any
) -> None:
    first, second, app_id = await start_node(port=1), await start_node(port=2), app_log.app_id
    async with connected(
        connect(second.url, app_id, "b"), connect(first.url, app_id, "a"), java(first, app_id, "c")
    ):
        expected = (("a", "v1"), ("b", "v1"), ("c", "java"))
        for node in (first, second):
            a, b, c = await until_listed(listed, node, app_id, *expected)
            assert a["node"] == c["node"] != b["node"]
            assert {each["state"] for each in (a, b, c)} == {"live"}
            assert {(each["lagEntries"], each["lagBytes"], each["lagSeconds"]) for each in (a, b, c)} == {
                (0, 0, 0.0)
            }
            assert [each["gatewayId"] for each in await listed(node, appId=app_id, node=b["node"])] == ["b"]
            assert await listed(node, appId=app_id, node="nowhere:1") == []
    await until_listed(listed, first, app_id)


async def test_pages_hold_each_gateway_once(
    start_node: Any, app_log: Any, listed: Any, http: httpx.AsyncClient, own_redis: PrivateRedis
) -> None:
    node = await start_node(redis_url=own_redis.url)
    ids = [(f"app {number % 3} 群", f"g{number:02d}") for number in range(12)]
    async with connected(*(connect(node.url, *pair) for pair in ids)):

        async def all_are_there() -> bool:
            return len(await listed(node)) == len(ids)

        await wait_until(all_are_there)
        for limit in (1, 5, 12, 500):
            seen, after, more = list[tuple[str, str]](), "", True
            while more:
                query = {"limit": limit, **({"after": after} if after else {})}
                page = (await http.get(f"{node.url}/v1/gateways", params=query)).json()["data"]
                assert 0 < len(page["gateways"]) <= limit
                seen += [(each["appId"], each["gatewayId"]) for each in page["gateways"]]
                after, more = page["next"], page["hasMore"]
            assert after is None
            assert seen == sorted(ids)


async def test_the_lag_of_a_stalled_gateway_grows_until_it_reads_on(
    start_node: Any, app_log: Any, listed: Any
) -> None:
    node, app_id = await start_node(gateway_buffer_bytes=65_536), app_log.app_id

    async def lags() -> dict[str, Any]:
        return {each["gatewayId"]: each for each in await listed(node, appId=app_id)}

    async with (
        slow_connection(node.url, app_id, "slow") as slow,
        connected(connect(node.url, app_id, "quick")),
    ):
        assert '"code":2000' in await slow.recv()
        sent = 0

        async def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                await app_log.append(message_sent(app_log.message(f"{sent} {LARGE}")))
                sent += 1

        await send(ENOUGH)

        async def is_behind() -> bool:
            row = (await lags()).get("slow", {})
            return row.get("state") == "lagging" and row["lagEntries"] > 0

        await wait_until(is_behind)

        async def seen_lag(least: int) -> dict[str, Any] | None:
            row = (await lags())["slow"]
            return row if row["lagEntries"] >= least else None

        before = (await lags())["slow"]
        await send(20)
        after = await wait_until(lambda: seen_lag(before["lagEntries"] + 20), what="a greater lag")
        assert after is not None
        assert after["lagBytes"] >= after["lagEntries"] * len(LARGE)
        assert 600 > after["lagSeconds"] > before["lagSeconds"]
        assert await app_log.members(names.behind(app_log.shard))
        quick = (await lags())["quick"]
        assert (quick["state"], quick["lagEntries"], quick["lagBytes"]) == ("live", 0, 0)
        gateway = Gateway(slow)
        reading = asyncio.create_task(gateway.keep_reading())
        await gateway.wait_for_code(2001, sent)

        async def has_caught_up() -> bool:
            row = (await lags())["slow"]
            return (row["state"], row["lagEntries"], row["lagBytes"]) == ("live", 0, 0)

        await wait_until(has_caught_up)

        async def is_noted_as_such() -> bool:
            return not await app_log.members(names.behind(app_log.shard))

        await wait_until(is_noted_as_such)
        await slow.close()
        await reading


async def test_what_was_written_and_what_lags_is_all_that_was_told(start_node: Any, app_log: Any) -> None:
    node, app_id = await start_node(gateway_buffer_bytes=65_536), app_log.app_id
    async with slow_connection(node.url, app_id, "slow") as slow:
        assert '"code":2000' in await slow.recv()
        app, gateway = node.app(app_id), node.gateway(app_id, "slow")
        cursors = list[Any]()
        for index in range(ENOUGH):
            cursors += await app_log.append(message_sent(app_log.message(f"{index} {LARGE}")))
        await wait_until(lambda: app.delivery.full)
        cursors += await app_log.send()
        outbox = app.delivery.outbox
        await wait_until(lambda: outbox.head == cursors[-1] and outbox.is_empty)
        # No await from here on: neither moves.
        lag = gateway.lag(app.delivery.outbox.told)
        assert lag is not None
        assert lag.entries == len(cursors) - (cursors.index(gateway.position) + 1)


async def test_sends_are_counted_and_the_last_close_is_remembered(
    start_node: Any, app_log: Any, listed: Any, command_api: Any
) -> None:
    node, app_id = await start_node(command_api_url=command_api.url), app_log.app_id
    body = {"groupId": "g", "userId": "u", "content": "c"}
    async with connected(connect(node.url, app_id, "g")) as [older]:
        await older.send_json([{**body, "clientMessageId": "1"}, {"groupId": "g"}, 5])
        await older.wait_for_code(2003)
        await older.wait_for_code(4001, 2)

        async def counted() -> bool:
            [row] = await listed(node, appId=app_id)
            return (row["sendsAccepted"], row["sendsRefused"]) == (1, 2) and row["lastClose"] is None

        await wait_until(counted)
        async with connected(connect(node.url, app_id, "g")) as [newer]:
            assert await older.wait_closed() == 4409

            async def is_remembered() -> dict[str, Any] | None:
                rows = await listed(node, appId=app_id)
                return rows[0]["lastClose"] if len(rows) == 1 else None

            close = await wait_until(is_remembered)
            assert close is not None
            assert (close["code"], close["reason"]) == (4409, "a newer connection of this gatewayId")
            await newer.websocket.close(4999, "of its own")
    async with connected(connect(node.url, app_id, "g")):

        async def said() -> bool:
            rows = await listed(node, appId=app_id)
            close = rows[0]["lastClose"] if rows else None
            return close is not None and (close["code"], close["reason"]) == (4999, "of its own")

        await wait_until(said)


async def test_idle_gateways_are_written_once(
    start_node: Any, listed: Any, own_redis: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await start_node(redis_url=own_redis.url)
    apps = [f"idle-{number}" for number in range(20)]
    written: list[int] = []
    commands_of = roster.Roster._commands  # pyright: ignore[reportPrivateUsage]

    def counted(self: Any, shard: int, writes: Any) -> Any:
        written.append(len(writes.rows))
        return commands_of(self, shard, writes)

    monkeypatch.setattr(roster.Roster, "_commands", counted)
    async with connected(*(connect(node.url, app_id, "g") for app_id in apps)):

        async def all_are_live() -> bool:
            return [each["state"] for each in await listed(node)] == ["live"] * len(apps)

        await wait_until(all_are_live)
        await roster_is_looked_at(monkeypatch, times=20)
        begun = len(written)
        await roster_is_looked_at(monkeypatch, times=20)
        assert written[begun:] == []


async def roster_is_looked_at(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Wait until some node has flushed, and looked at shards, so many times."""
    seen, look_at = 0, roster.Roster.look_at

    async def counted(self: Any, shards: Any) -> None:
        nonlocal seen
        await look_at(self, shards)
        seen += 1

    with monkeypatch.context() as patch:
        patch.setattr(roster.Roster, "look_at", counted)
        await wait_until(lambda: seen >= times)


@contextlib.asynccontextmanager
async def own_redis_client(server: PrivateRedis) -> AsyncGenerator[Any]:
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        yield redis


async def test_rows_that_redis_has_lost_are_written_again(
    start_node: Any, listed: Any, own_redis: PrivateRedis
) -> None:
    node = await start_node(redis_url=own_redis.url)
    async with connected(connect(node.url, "app", "g"), connect(node.url, "app", "h")):
        expected = (("g", "v1"), ("h", "v1"))
        before = await until_listed(listed, node, "app", *expected)
        async with own_redis_client(own_redis) as redis:
            shard = names.shard_of("app")
            await redis.delete(names.roster(shard), names.roster_rows(shard))
            await redis.delete(names.PROCESSES)
        assert await until_listed(listed, node, "app", *expected) == before


async def test_what_a_dead_node_left_behind_is_not_listed_and_is_removed(
    start_node: Any, app_log: Any, listed: Any
) -> None:
    node, app_id, redis = await start_node(), app_log.app_id, app_log.redis
    key, rows = names.roster(app_log.shard), names.roster_rows(app_log.shard)
    of_the_dead = Member(app_id, "dead", "a-process-that-is-gone", 7).encode()
    await redis.hset(rows, of_the_dead, "{}")
    await redis.zadd(key, {of_the_dead: 0, b"no member": 0})
    assert await listed(node, appId=app_id) == []

    async def is_removed() -> bool:
        left = await redis.zrange(key, 0, -1)
        return (
            of_the_dead not in left
            and b"no member" not in left
            and not await redis.hexists(rows, of_the_dead)
        )

    await wait_until(is_removed)


async def test_a_tour_brings_no_gateway_back_that_has_left(
    start_node: Any, app_log: Any, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rosters, look_at = set[roster.Roster](), roster.Roster.look_at

    async def noted(one: roster.Roster, shards: Any) -> None:
        rosters.add(one)
        await look_at(one, shards)

    monkeypatch.setattr(roster.Roster, "look_at", noted)
    node, app_id = await start_node(), app_log.app_id
    async with connect(node.url, app_id, "one"):
        await until_listed(listed, node, app_id, ("one", "v1"))
    await until_listed(listed, node, app_id)
    await wait_until(lambda: rosters)
    for one in rosters:
        await look_at(one, [app_log.shard])
        await one.flush()
    assert await app_log.members(names.roster(app_log.shard)) == []


async def test_redis_comes_and_goes(
    start_node: Any, listed: Any, own_redis: PrivateRedis, http: httpx.AsyncClient
) -> None:
    node = await start_node(redis_url=own_redis.url)
    async with connected(connect(node.url, "app", "g")):
        await until_listed(listed, node, "app", ("g", "v1"))
        await own_redis.stop()
        for reply in (
            await http.get(f"{node.url}/v1/gateways"),
            await http.post(f"{node.url}/v1/gateways/app/g/disconnect"),
        ):
            assert (reply.status_code, reply.json()["code"]) == (503, 50301)
            assert int(reply.headers["Retry-After"]) > 0
        await own_redis.start()

        async def is_there_again() -> bool:
            reply = await http.get(f"{node.url}/v1/gateways", params={"appId": "app"})
            return reply.status_code == 200 and len(reply.json()["data"]["gateways"]) == 1

        await wait_until(is_there_again, 20)


async def test_a_token_lists_its_apps_alone(start_node: Any, app_log: Any, http: httpx.AsyncClient) -> None:
    node, one, other = await start_node(**WITH_TOKENS), app_log.app_id, app_log.app_id + "-other"
    headers: dict[str, Any] = {"additional_headers": bearer()}
    async with connected(connect(node.url, one, "g", **headers), connect(node.url, other, "g", **headers)):

        async def apps(token: dict[str, str], **query: str) -> tuple[int, set[str]]:
            reply = (await http.get(f"{node.url}/v1/gateways", params=query, headers=token)).json()
            return reply["code"], {each["appId"] for each in (reply["data"] or {"gateways": []})["gateways"]}

        async def both_are_there() -> bool:
            return await apps(bearer([one, other])) == (0, {one, other})

        await wait_until(both_are_there)
        assert await apps(bearer(one)) == (0, {one})
        assert await apps(bearer(one), appId=one) == (0, {one})
        assert await apps(bearer([one, other]), appId=other) == (0, {other})
        assert await apps(bearer(one), appId=other) == (40301, set())
        assert await apps(bearer(scope="read gateway send recall notice")) == (40301, set())
        assert await apps({}) == (40101, set())
        path = f"{node.url}/v1/gateways/{other}/g/disconnect"
        for token, code in ((bearer(one), 40301), (bearer(scope="gateway"), 40301), ({}, 40101)):
            assert (await http.post(path, headers=token)).json()["code"] == code


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"after": "$"}, "after"),
        ({"after": "x" * 5000}, "after"),
        ({"appId": " a"}, "appId"),
        ({"node": "x" * 256}, "node"),
        ({"state": "lagging"}, "state"),
    ],
)
async def test_what_is_malformed_is_named(
    node: Any, http: httpx.AsyncClient, query: dict[str, str], named: str
) -> None:
    reply = await http.get(f"{node.url}/v1/gateways", params=query)
    assert reply.status_code == 400
    assert reply.json()["code"] == 40001
    assert re.match(f"{named} is (not valid|too long): it must be ", reply.json()["message"])


@pytest.mark.parametrize("state", State)
def test_a_gateway_is_behind_nothing_while_the_position_of_its_app_is_not_known(state: State) -> None:
    outbox: Any = SimpleNamespace(has_begun=False)
    gateway: Any = SimpleNamespace(state=state)
    app: Any = SimpleNamespace(delivery=SimpleNamespace(outbox=outbox))
    assert roster_rows._seconds_behind(gateway, app) == 0  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("written_ms", "seconds"), [(3500, 1.5), (5000, 0), (6000, 0)])
def test_a_gateway_is_behind_by_the_age_of_what_it_got_last(written_ms: int, seconds: float) -> None:
    def position(ms: int) -> Any:
        return SimpleNamespace(entry=SimpleNamespace(ms=ms))

    outbox: Any = SimpleNamespace(has_begun=True, head=position(5000))
    gateway: Any = SimpleNamespace(state=State.LAGGING, position=position(written_ms))
    app: Any = SimpleNamespace(delivery=SimpleNamespace(outbox=outbox))
    assert roster_rows._seconds_behind(gateway, app) == seconds  # pyright: ignore[reportPrivateUsage]
