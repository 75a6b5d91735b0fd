"""The end of a node, and its readiness."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.cluster import drain
from imc_push_node.cluster.drain import Drain
from imc_push_node.gateway import websocket
from imc_testkit.gateway import Gateway, connect
from imc_testkit.processes import Process
from imc_testkit.servers import private_redis
from imc_testkit.virtual_time import VirtualTimeLoop
from imc_testkit.waiting import wait_until
from websockets.asyncio.client import connect as connect_websocket


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return (await client.get("/readyz")).status_code == 200


async def is_not_ready(url: str) -> bool:
    return not await is_ready(url)


async def test_gateways_are_sent_away_with_their_answers(
    start_node: Any, command_api: Any, app_id: str
) -> None:
    node = await start_node(command_api_url=command_api.url, drain_seconds=0.2)
    async with contextlib.AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(connect(node.url, app_id, f"g{index}")) for index in range(10)
        ]
        for gateway in gateways:
            await gateway.wait_for_code(2000)
        command_api.gate.clear()
        await gateways[0].send_json(
            {"groupId": "g", "userId": "u", "content": "last words", "clientMessageId": "mine"}
        )
        await wait_until(lambda: command_api.calls)
        draining = asyncio.create_task(node.push_node.drain.run())
        await wait_until(lambda: node.push_node.drain.has_begun)
        for gateway in gateways[1:]:
            assert await gateway.wait_closed() == 1012
        assert gateways[0].close_code is None
        command_api.gate.set()
        assert await gateways[0].wait_closed() == 1012
        assert len(gateways[0].with_code(2003)) == 1
        await draining
        address = f"ws{node.url.removeprefix('http')}/v1/gateways/{app_id}/new"
        async with connect_websocket(address, proxy=None) as websocket:
            newcomer = Gateway(websocket)
            await newcomer.keep_reading()
            assert [frame["code"] for frame in newcomer.frames] == [4000]
            assert newcomer.close_code == 1012


async def test_what_was_sent_by_one_that_has_left_is_waited_for(
    start_node: Any, command_api: Any, app_id: str
) -> None:
    node = await start_node(command_api_url=command_api.url, drain_seconds=0)
    command_api.gate.clear()
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({"groupId": "g", "userId": "u", "content": "last words"})
        await wait_until(lambda: command_api.calls)
    await wait_until(lambda: not node.push_node.connections.hub.gateways)
    draining = asyncio.create_task(node.push_node.drain.run())
    await wait_until(lambda: node.push_node.drain.has_begun)
    assert not draining.done()
    command_api.gate.set()
    await draining
    assert not node.push_node.connections.forwarder._tasks


class FakeHub:
    """A hub whose gateways leave as soon as they are sent away."""

    def __init__(self, count: int) -> None:
        self.sent_away_after: list[float] = []
        self.was_waited_for = False
        self.gateways = [self] * count

    def close_when_answered(self, code: CloseCode, reason: str) -> None:
        assert code == CloseCode.NODE_RESTARTS
        self.sent_away_after.append(asyncio.get_running_loop().time())

    async def emptied(self) -> None:
        assert len(self.sent_away_after) == len(self.gateways)
        self.was_waited_for = True

    async def settled(self) -> None:
        """As a forwarder without anything to forward."""


def test_the_end_waits_for_those_who_answer_no_close_frame() -> None:
    assert drain.SETTLE_SECONDS >= websocket.CLOSE_SECONDS


def test_gateways_are_sent_away_evenly_over_the_time_of_the_drain() -> None:
    """Each has its share of the time for itself, and is sent away somewhere within it."""
    seconds, count = 10.0, 200
    hub = FakeHub(count)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(Drain(hub, hub, seconds).run())  # pyright: ignore[reportArgumentType]
    assert hub.was_waited_for
    shares = [after / (seconds / count) for after in hub.sent_away_after]
    assert [int(share + 1e-6) for share in shares] == pytest.approx(range(count), abs=1)
    assert 0.1 < sum(share % 1 for share in shares) / count < 0.9, "not all at the beginning of their shares"


@pytest.mark.parametrize("signals", [1, 2])
async def test_the_process_drains_and_ends(redis_url: str, app_id: str, signals: int) -> None:
    environment = {
        "IMC_AUTH": "off",
        "IMC_REDIS_URL": redis_url,
        "IMC_COMMAND_API_URL": "http://127.0.0.1:9",
        "IMC_DRAIN_SECONDS": "1" if signals == 1 else "300",
    }
    async with Process("imc-push-node", environment) as process:
        await process.ready()
        async with (
            connect(process.url, app_id, "one") as one,
            connect(process.url, app_id, "two") as two,
        ):
            await one.wait_for_code(2000)
            await two.wait_for_code(2000)
            ending = asyncio.create_task(process.terminate())
            if signals == 2:
                await wait_until(lambda: "draining" in process.log)
                ending.cancel()
                ending = asyncio.create_task(process.terminate())
            assert await one.wait_closed() == 1012
            assert await two.wait_closed() == 1012
            assert await ending == 0
        assert "not ready" not in process.log, "this is no fault"


async def test_it_starts_without_redis_and_heals_by_itself(start_node: Any, app_id: str) -> None:
    async with private_redis() as redis:
        await redis.stop()
        node = await start_node(redis_url=redis.url)
        assert await is_not_ready(node.url)
        await redis.start()
        await wait_until(lambda: is_ready(node.url))
        async with connect(node.url, app_id, "one") as gateway:
            await gateway.wait_for_code(2000)


async def test_a_hung_redis_is_noticed(start_node: Any, app_id: str) -> None:
    async with private_redis() as redis:
        node = await start_node(redis_url=redis.url)
        async with connect(node.url, app_id, "one") as gateway:
            await gateway.wait_for_code(2000)
            redis.pause()
            await wait_until(lambda: is_not_ready(node.url), 5)
            address = f"ws{node.url.removeprefix('http')}/v1/gateways/{app_id}/new"
            async with connect_websocket(address, proxy=None) as websocket:
                newcomer = Gateway(websocket)
                await newcomer.keep_reading()
                assert [frame["code"] for frame in newcomer.frames] == [4000]
                assert newcomer.close_code == 1013
            assert gateway.close_code is None
            redis.resume()
            await wait_until(lambda: is_ready(node.url))
            assert gateway.close_code is None
