"""Which node a gateway belongs to, and what happens to that as nodes come and go."""

import asyncio
import contextlib
import re
import signal
from collections import Counter
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from imc_contracts import names
from imc_contracts.errors import Refused
from imc_push_node.app import create_app
from imc_push_node.cluster import membership
from imc_push_node.cluster.membership import Membership
from imc_push_node.cluster.placement import home
from imc_push_node.settings import PushNodeSettings
from imc_service.health import Readiness
from imc_service.redis import client as redis_client
from imc_service.redis.masters import Masters
from imc_service.settings import SettingsError, load
from imc_testkit.gateway import connect, connect_at
from imc_testkit.processes import Process, free_port
from imc_testkit.servers import private_redis
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until

GATEWAYS = [f"gateway-{number}" for number in range(10_000)]
PATH = "/v1/gateways/{}/{}/node"


def address(number: int) -> str:
    return f"ws://push-node-{number}.push-node:8003"


def process(redis_url: str, number: int | None = None, port: int | None = None, **env: str) -> Process:
    own = {} if number is None else {"IMC_ADVERTISE_URL": address(number)}
    basic = {**OFF, "IMC_REDIS_URL": redis_url, "IMC_COMMAND_API_URL": "http://127.0.0.1:9"}
    return Process("imc-push-node", {**basic, **own, **env}, port)


async def ask(url: str, gateway_id: str = "one", app_id: str = "app") -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return await client.get(PATH.format(app_id, gateway_id))


async def homes(node: Process, gateway_ids: list[str]) -> list[str]:
    """The address that a node answers for each gateway, asked for all on one connection without a pause."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    requests = [f"GET {PATH.format('app', name)} HTTP/1.1\r\nHost: node\r\n" for name in gateway_ids]
    requests[-1] += "Connection: close\r\n"

    async def write() -> None:
        for request in requests:
            writer.write(f"{request}\r\n".encode())
            await writer.drain()

    writing = asyncio.create_task(write())
    replies = await reader.read()
    await writing
    writer.close()
    await writer.wait_closed()
    return re.findall(r'"url":"([^"]+)"', replies.decode())


async def all_homes(nodes: list[Process]) -> dict[str, str]:
    """The address of each gateway; each node is asked for its part of them."""
    parts = [GATEWAYS[index :: len(nodes)] for index in range(len(nodes))]
    answers = await asyncio.gather(*map(homes, nodes, parts))
    return {
        name: url
        for part, urls in zip(parts, answers, strict=True)
        for name, url in zip(part, urls, strict=True)
    }


async def agree(nodes: list[Process], *numbers: int) -> None:
    """Wait until every node knows that these, and no others, are ready."""
    known = {address(number) for number in numbers}

    async def knows(client: httpx.AsyncClient) -> bool:
        try:
            replies = [await client.get(PATH.format("app", name)) for name in GATEWAYS[:30]]
        except httpx.ConnectError:
            return False
        return {reply.json()["data"]["url"] for reply in replies if reply.status_code == 200} == known

    for node in nodes:
        async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
            await wait_until(lambda client=client: knows(client), what=f"{numbers} known to {node.url}")


async def test_a_node_that_comes_or_goes_moves_only_its_share() -> None:
    async with private_redis() as redis, contextlib.AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(process(redis.url, number)) for number in range(3)]
        await agree(nodes, 0, 1, 2)
        three = await all_homes(nodes)
        shares = Counter(three.values())
        assert all(share == pytest.approx(len(GATEWAYS) / 3, rel=0.03) for share in shares.values()), shares

        nodes.append(await stack.enter_async_context(process(redis.url, 3)))
        await agree(nodes, 0, 1, 2, 3)
        four = await all_homes(nodes)
        moved = [name for name in GATEWAYS if three[name] != four[name]]
        assert len(moved) == pytest.approx(len(GATEWAYS) / 4, rel=0.03)
        assert {four[name] for name in moved} == {address(3)}

        await nodes.pop(1).kill()
        await agree(nodes, 0, 2, 3)
        left = await all_homes(nodes)
        assert {four[name] for name in GATEWAYS if four[name] != left[name]} == {address(1)}
        assert address(1) not in left.values()


async def test_a_node_that_is_told_to_stop_gives_its_lease_up_at_once_and_goes_on(app_id: str) -> None:
    async with (
        private_redis() as redis,
        process(redis.url, 0) as stays,
        process(redis.url, 1, IMC_DRAIN_DELAY_SECONDS="300") as goes,
    ):
        await agree([stays, goes], 0, 1)
        async with redis_client.connect(redis.url) as leases:
            runs_out_ms = await leases.zscore(names.PUSH_NODES, address(1)) or 0.0

            async def is_given_up() -> bool:
                nonlocal runs_out_ms
                found = await leases.zscore(names.PUSH_NODES, address(1))
                runs_out_ms = found or runs_out_ms
                return found is None

            goes.send_signal(signal.SIGTERM)
            await wait_until(is_given_up)
            seconds, microseconds = await leases.time()
            assert seconds * 1000 + microseconds // 1000 < runs_out_ms, "it ran out by itself"
        await agree([stays, goes], 0)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{goes.url}/readyz")).status_code == 503
        async with connect(goes.url, app_id, "one") as gateway:
            await gateway.wait_for_code(2000)
            goes.send_signal(signal.SIGTERM)
            assert await gateway.wait_closed() == 1012
        assert await goes.wait() == 0


async def test_a_gateway_connects_where_it_is_told() -> None:
    """Whoever it asks, a node without an address of its own too."""
    port = free_port()
    own_url = f"ws://127.0.0.1:{port}"
    async with (
        private_redis() as redis,
        process(redis.url) as asked,
        process(redis.url, port=port, IMC_ADVERTISE_URL=f"{own_url}/") as node,
    ):
        await node.ready()
        await asked.ready()

        async def told() -> dict[str, str] | None:
            reply = await ask(asked.url, app_id="demo")
            return reply.json()["data"]

        data = await wait_until(told) or {}
        assert data == {"url": own_url, "connectUrl": f"{own_url}/v1/gateways/demo/one"}
        async with connect_at(data["connectUrl"]) as gateway:
            await gateway.wait_for_code(2000)


async def test_without_any_address_nothing_is_made_up(node: Any) -> None:
    reply = await ask(node.url)
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, 50301, "1")
    assert "no push-node" in reply.json()["message"]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("a%20/one", "appId"),
        ("app/a%0Ab", "gatewayId"),
        ("app/%00", "gatewayId"),
        ("app/" + "g" * 128, "gatewayId"),
        ("a" * 128 + "/one", "appId"),
    ],
)
async def test_a_malformed_id_is_told(node: Any, path: str, named: str) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        reply = await client.get(f"/v1/gateways/{path}/node")
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert re.match(f"{named} is (not valid|too long): it must be 1 to 127", reply.json()["message"])


@pytest.mark.parametrize("segments", ["app/a/b", "app/", "/app", "app/a/"])
async def test_a_path_of_other_segments_is_none(node: Any, segments: str) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        reply = await client.get(f"/v1/gateways/{segments}/node")
    assert (reply.status_code, reply.json()["code"]) == (404, 40400)


@pytest.mark.parametrize("segment", ["%FF", "%E7%BD", "%C0%AF", "%2", "%zz"])
async def test_an_escape_that_is_not_utf8_is_told(node: Any, segment: str) -> None:
    for path in (f"app/{segment}/node", f"{segment}/one/node"):
        reader, writer = await asyncio.open_connection(*node.url.removeprefix("http://").split(":"))
        writer.write(f"GET /v1/gateways/{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        reply = await reader.read()
        writer.close()
        assert reply.startswith(b"HTTP/1.1 400 ")
        assert b'"code":40001' in reply


@pytest.mark.parametrize(("app_id", "gateway_id"), [("应用", "网关"), ("a/b", "c d"), ("50%", "{x}?&#")])
async def test_the_address_holds_ids_of_any_characters(app_id: str, gateway_id: str) -> None:
    port = free_port()
    async with (
        private_redis() as redis,
        process(redis.url, port=port, IMC_ADVERTISE_URL=f"ws://127.0.0.1:{port}") as node,
    ):
        await node.ready()

        async def told() -> dict[str, str] | None:
            reply = await ask(node.url, quote(gateway_id, safe=""), quote(app_id, safe=""))
            return reply.json()["data"]

        address = (await wait_until(told) or {})["connectUrl"]
        assert address.isascii()
        async with connect_at(address) as gateway:
            await gateway.wait_for_code(2000)
        async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
            gateways = (await client.get("/metrics")).text
        assert 'imc_gateway_handshakes_total{door="v1",status="101"} 1.0' in gateways


async def test_a_gateway_may_be_called_node(node: Any, app_id: str) -> None:
    async with connect(node.url, app_id, "node") as gateway:
        await gateway.wait_for_code(2000)


async def test_a_lease_follows_readiness_and_old_answers_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(membership, "LEASE_SECONDS", 0.3)
    readiness, reasons = Readiness(), ["starting"]

    async def check() -> str | None:
        return reasons[0] if reasons else None

    readiness.add("part", check)
    async with (
        private_redis() as server,
        contextlib.aclosing(redis_client.connect(server.url)) as redis,
    ):
        member = Membership(Masters(redis), readiness, address(0))
        running = asyncio.create_task(member.run())

        async def members() -> Any:
            return await redis.zrange(names.PUSH_NODES, 0, -1)

        def answer() -> str | None:
            try:
                return member.home_of("app", "one")["url"]
            except Refused:
                return None

        assert await members() == []
        reasons.clear()
        assert await wait_until(answer) == address(0)
        reasons.append("broken")
        await wait_until(lambda: answer() is None)
        assert await members() == []
        reasons.clear()
        await wait_until(answer)
        server.pause()
        await wait_until(lambda: answer() is None)
        server.resume()
        await wait_until(answer)
        readiness.retire("the end")
        await wait_until(lambda: answer() is None)
        running.cancel()


def test_a_gateway_is_at_home_wherever_nodes_stand_in_the_list() -> None:
    nodes = [address(number) for number in range(5)]
    assert {home(nodes, "app", name) for name in GATEWAYS[:100]} == set(nodes)
    assert all(home(nodes, "app", name) == home(nodes[::-1], "app", name) for name in GATEWAYS[:100])
    assert {home(nodes, f"app-{number}", "one") for number in range(100)} == set(nodes)
    # The same in every process and version: a rolling update must not move anybody.
    assert [home(nodes, "app", name) for name in GATEWAYS[:3]] == [address(n) for n in (2, 4, 3)]


def test_an_address_must_be_one() -> None:
    for wrong in ("push-node-0:8003", "http://h", "ws://", "ws://h?x=1", "ws://h#x"):
        environment = {
            **OFF,
            "IMC_REDIS_URL": "redis://h",
            "IMC_COMMAND_API_URL": "http://h",
            "IMC_ADVERTISE_URL": wrong,
        }
        with pytest.raises(SettingsError, match="IMC_ADVERTISE_URL: must be ws://HOST or wss://HOST"):
            load(PushNodeSettings, environment)


def test_the_call_is_described() -> None:
    settings = load(
        PushNodeSettings, {**OFF, "IMC_REDIS_URL": "redis://h", "IMC_COMMAND_API_URL": "http://h"}
    )
    paths = create_app(settings).openapi()["paths"]
    call = paths["/v1/gateways/{appId}/{gatewayId}/node"]["get"]
    assert [(each["name"], each["in"]) for each in call["parameters"]] == [
        ("appId", "path"),
        ("gatewayId", "path"),
    ]
    assert all("pattern" in each["schema"] for each in call["parameters"])
    assert call["responses"].keys() == {"200", "400", "401", "403", "404", "500", "503"}
