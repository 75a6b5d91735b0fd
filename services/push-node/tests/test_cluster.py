"""Pushes from a Redis Cluster: its slots move, and its masters hang or end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_contracts import names
from imc_service.redis import masters as redis_masters
from imc_service.redis.masters import Masters
from imc_service.redis.slots import slot_of
from imc_testkit.gateway import Gateway, connect
from imc_testkit.redis_cluster import ClusterNode, PrivateCluster, private_cluster
from imc_testkit.waiting import wait_until
from redis.exceptions import RedisError

BATCHES = 150


@pytest.fixture
async def cluster() -> AsyncGenerator[PrivateCluster]:
    async with private_cluster() as cluster:
        yield cluster


@pytest.fixture
async def masters(cluster: PrivateCluster) -> AsyncGenerator[Masters]:
    async with contextlib.aclosing(redis_masters.connect(cluster.url)) as masters:
        await masters.look_for_masters()
        yield masters


def contents(gateway: Gateway) -> list[str]:
    return [frame["data"]["content"] for frame in gateway.with_code(2001)]


@pytest.fixture
async def logs(cluster: PrivateCluster, masters: Masters, log_in: Any) -> dict[ClusterNode, Any]:
    """For each master the log of an app that it holds."""
    found: dict[ClusterNode, Any] = {}
    for number in range(100):
        app_log = log_in(masters, f"app-{number}")
        found.setdefault(await cluster.master_of(names.log(app_log.app_id)), app_log)
        if len(found) == len(await cluster.masters()):
            return found
    raise AssertionError("a master holds no app")


@contextlib.asynccontextmanager
async def gateways(url: str, *logs: Any) -> AsyncGenerator[list[Gateway]]:
    """A gateway of each app, connected."""
    async with contextlib.AsyncExitStack() as stack:
        connected = [
            await stack.enter_async_context(connect(url, app_log.app_id, "gateway")) for app_log in logs
        ]
        for gateway in connected:
            await gateway.wait_for_code(2000)
        yield connected


async def connections_of(node: Any) -> float:
    """How many Pub/Sub connections a node has made."""
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    (line,) = [line for line in lines if line.startswith("imc_pubsub_connections_total ")]
    return float(line.split()[1])


async def is_reached(app_log: Any) -> bool:
    try:
        await app_log.masters.run(names.log(app_log.app_id), lambda redis: redis.ping())
    except (RedisError, OSError):
        return False
    return True


async def test_everything_is_pushed_while_slots_move(
    cluster: PrivateCluster, logs: dict[ClusterNode, Any], start_node: Any
) -> None:
    node = await start_node(redis_url=cluster.url)
    are_moved = asyncio.Event()

    async def send(app_log: Any) -> int:
        """Send until the slots have moved; returns how many batches."""
        count = 0
        while not are_moved.is_set() or count < BATCHES:
            await app_log.send()
            count += 1
        return count

    async with gateways(node.url, *logs.values()) as connected:
        sending = [asyncio.create_task(send(app_log)) for app_log in logs.values()]
        for app_log in logs.values():
            slot = slot_of(names.log(app_log.app_id))
            for target in await cluster.masters():
                await cluster.move_slot(slot, target)
        are_moved.set()
        for gateway, count in zip(connected, await asyncio.gather(*sending), strict=True):
            await gateway.wait_for_code(2001, count)
            assert contents(gateway) == [str(number) for number in range(1, count + 1)]
            assert gateway.with_code(4002) == []
            assert gateway.close_code is None


async def test_a_shard_that_takes_long_to_move_delays_no_others_of_its_master(
    cluster: PrivateCluster, masters: Masters, logs: dict[ClusterNode, Any], log_in: Any, start_node: Any
) -> None:
    node = await start_node(redis_url=cluster.url)
    (holder, moving), (target, _), *_ = logs.items()
    beside = [
        app_log
        for number in range(100, 130)
        if await cluster.master_of(names.log((app_log := log_in(masters, f"app-{number}")).app_id)) is holder
    ]
    async with gateways(node.url, moving, *beside) as [their_gateway, *our_gateways]:
        await moving.send()
        await their_gateway.wait_for_code(2001)
        before = await connections_of(node)

        async def go_on() -> None:
            """Keys have gone: pings and looks of the node are sent elsewhere, again and again."""
            for count in (1, 2, 3):
                for app_log, gateway in zip(beside, our_gateways, strict=True):
                    # That no batch is published, it takes a look each second to find it.
                    await app_log.send(publish=False)
                    await gateway.wait_for_code(2001, count)

        await cluster.move_slot(slot_of(names.log(moving.app_id)), target, halfway=go_on)
        assert await connections_of(node) == before
        await moving.send()
        await their_gateway.wait_for_code(2001, 2)


async def test_a_shard_that_moved_is_heard_from_its_new_master(
    cluster: PrivateCluster, logs: dict[ClusterNode, Any], start_node: Any
) -> None:
    node = await start_node(redis_url=cluster.url)
    (holder, app_log), (other, _), *_ = logs.items()
    channel = names.live(app_log.app_id, 0)

    async def listeners(server: ClusterNode) -> int:
        return dict([await server.command("PUBSUB", "SHARDNUMSUB", channel)])[channel]

    async with gateways(node.url, app_log) as [gateway]:
        assert await listeners(holder) == 1
        await cluster.move_slot(slot_of(channel), other)

        async def is_heard() -> bool:
            return await listeners(other) == 1

        await wait_until(is_heard)
        assert await listeners(holder) == 0
        await app_log.send()
        await gateway.wait_for_code(2001)


@pytest.mark.parametrize("end", ["pause", "kill"])
async def test_a_master_that_does_not_answer_delays_no_apps_of_others(
    cluster: PrivateCluster, logs: dict[ClusterNode, Any], start_node: Any, end: str
) -> None:
    node = await start_node(redis_url=cluster.url)
    (holder, theirs), *others = logs.items()
    ours = [app_log for _, app_log in others]
    async with gateways(node.url, theirs, *ours) as [their_gateway, *our_gateways]:
        await theirs.send()
        await their_gateway.wait_for_code(2001)
        await holder.kill() if end == "kill" else holder.pause()
        waiting = [
            asyncio.create_task(connect(node.url, theirs.app_id, f"late-{number}").__aenter__())
            for number in range(20)
        ]
        for app_log, gateway in zip(ours, our_gateways, strict=True):
            await app_log.send()
            await gateway.wait_for_code(2001, 1)
            await app_log.send(publish=False)
            await gateway.wait_for_code(2001, 2)
            async with connect(node.url, app_log.app_id, "another") as another:
                await another.wait_for_code(2000)
        await cluster.taken_over(holder)
        if end == "pause":
            holder.resume()
        await wait_until(lambda: is_reached(theirs), what="the sender to know the new master")
        await theirs.send()
        await their_gateway.wait_for_code(2001, 2)
        assert contents(their_gateway) == ["1", "2"]
        for late in waiting:
            await (await late).websocket.close()


async def test_operators_see_and_disconnect_gateways_on_all_masters(
    start_node: Any, cluster: PrivateCluster, logs: dict[ClusterNode, Any]
) -> None:
    here, there = [await start_node(redis_url=cluster.url, port=port) for port in (1, 2)]
    apps = [app_log.app_id for app_log in logs.values()]
    async with (
        gateways(there.url, *logs.values()) as connected,
        httpx.AsyncClient(trust_env=False, timeout=20) as http,
    ):

        async def listed() -> list[str]:
            reply = (await http.get(f"{here.url}/v1/gateways")).json()
            return [each["appId"] for each in (reply["data"] or {"gateways": []})["gateways"]]

        async def are_all_listed() -> bool:
            return await listed() == sorted(apps)

        await wait_until(are_all_listed, 20)
        for app_id, gateway in zip(apps, connected, strict=True):
            reply = await http.post(f"{here.url}/v1/gateways/{app_id}/gateway/disconnect")
            assert reply.json()["data"] == {"disconnected": 1}, reply.text
            assert await gateway.wait_closed() == 4410
