"""The newest connection of a gateway wins, on whichever node it is."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from imc_contracts import names
from imc_contracts.codes import CloseCode
from imc_push_node.cluster import monitor
from imc_service.redis.masters import Masters
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until


async def registered(app_log: Any) -> dict[str, int]:
    pairs = await app_log.redis.zrange(names.gateways(app_log.app_id), 0, -1, withscores=True)
    return {gateway_id.decode(): int(number) for gateway_id, number in pairs}


async def is_nobody_registered(app_log: Any) -> bool:
    return not await registered(app_log)


@pytest.mark.parametrize("nodes", [1, 2])
async def test_the_newer_stays(start_node: Any, app_log: Any, nodes: int) -> None:
    first = await start_node()
    second = first if nodes == 1 else await start_node()
    async with connect(first.url, app_log.app_id, "one") as older:
        await older.wait_for_code(2000)
        async with connect(second.url, app_log.app_id, "one") as newer:
            await newer.wait_for_code(2000)
            assert await older.wait_closed() == 4409
            await app_log.send()
            await newer.wait_for_code(2001)
            assert newer.close_code is None
            assert list(await registered(app_log)) == ["one"]
    await wait_until(lambda: is_nobody_registered(app_log))


async def test_others_are_left_alone(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "one") as one,
        connect(node.url, app_log.app_id, "two") as two,
        connect(node.url, app_log.app_id + "x", "one") as elsewhere,
    ):
        for gateway in (one, two, elsewhere):
            await gateway.wait_for_code(2000)
        assert set(await registered(app_log)) == {"one", "two"}
        await app_log.send()
        await one.wait_for_code(2001)
        await two.wait_for_code(2001)
        assert elsewhere.close_code is None


async def test_lost_news_delay_it_by_two_seconds(node: Any, app_log: Any) -> None:
    """As if a node had registered the gateway and died before it told of it."""
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        number = await app_log.redis.zincrby(names.gateway_fence(app_log.app_id), 1, "f")
        await app_log.redis.zadd(names.gateways(app_log.app_id), {"one": number}, gt=True)
        await app_log.change_gateways()
        assert await gateway.wait_closed(timeout=3) == 4409


async def test_a_number_that_is_written_late_is_found(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        fence = names.gateway_fence(app_log.app_id)
        number = await app_log.redis.zincrby(fence, 1, "f")
        await looked_at(node, app_log)
        await app_log.redis.zadd(names.gateways(app_log.app_id), {"one": number}, gt=True)
        await app_log.change_gateways()
        assert await gateway.wait_closed(timeout=3) == 4409


async def looked_at(node: Any, app_log: Any) -> None:
    """Wait until the node has looked at the app, and knows all changes."""
    [newest] = await app_log.send()
    await wait_until(lambda: node.app(app_log.app_id).settled_head == newest)


async def test_one_that_is_late_gives_way_to_a_newer(node: Any, app_log: Any) -> None:
    """A newer connection is known before the older one has registered."""
    async with connect(node.url, app_log.app_id, "other") as other:
        await other.wait_for_code(2000)
        future = 2**52
        await app_log.redis.zadd(names.gateways(app_log.app_id), {"one": future}, gt=True)
        async with connect(node.url, app_log.app_id, "one") as gateway:
            assert await gateway.wait_closed() == 4409
    assert (await registered(app_log))["one"] == future


async def test_many_at_once_end_with_one(start_node: Any, app_log: Any) -> None:
    nodes = [await start_node(), await start_node()]
    stay = asyncio.Event()
    open_now: list[Any] = []

    async def come(index: int) -> int | None:
        async with connect(nodes[index % 2].url, app_log.app_id, "one") as gateway:
            open_now.append(gateway)
            leaving = asyncio.create_task(stay.wait())
            closing = asyncio.create_task(gateway.websocket.wait_closed())
            await asyncio.wait({leaving, closing}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            closing.cancel()
            return gateway.close_code

    visits = [asyncio.create_task(come(index)) for index in range(30)]
    await wait_until(lambda: sum(visit.done() for visit in visits) == 29)
    stay.set()
    codes = await asyncio.gather(*visits)
    assert sorted(codes, key=str) == [4409] * 29 + [None]


class SlowRedis:
    """The node's Redis, whose round trips each wait for the test; and what was asked of it."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.asked = 0
        self.may_go = asyncio.Semaphore(0)

    @contextlib.asynccontextmanager
    async def pipeline(self, transaction: bool) -> AsyncGenerator[Any]:
        async with self._redis.pipeline(transaction=transaction) as pipeline:
            execute = pipeline.execute

            async def execute_later() -> Any:
                self.asked += 1
                await self.may_go.acquire()
                return await execute()

            pipeline.execute = execute_later
            yield pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)


@pytest.fixture
async def held_up(start_node: Any) -> tuple[Any, SlowRedis]:
    """A node whose registrations go as far as the test lets them."""
    node = await start_node()
    takeover = node.push_node.connections.takeover
    slow = SlowRedis(takeover._masters._redis)
    takeover._masters = Masters(cast(Any, slow))
    return node, slow


async def test_one_that_left_before_its_turn_is_not_registered(held_up: Any, app_log: Any) -> None:
    """It would take the place of the one that is here."""
    node, redis = held_up
    async with connect(node.url, app_log.app_id, "first"):
        await wait_until(lambda: redis.asked == 1)
        async with connect(node.url, app_log.app_id, "one"):
            await wait_until(lambda: node.push_node.connections.takeover._arrivals)
            (gone,) = [
                each for each in node.app(app_log.app_id).delivery.gateways if each.gateway_id == "one"
            ]
            gone.socket.close(CloseCode.NODE_RESTARTS)
        redis.may_go.release()
        redis.may_go.release()
        redis.may_go.release()
        await wait_until(lambda: is_registered(app_log, {"first"}))
        assert not gone.number


async def is_registered(app_log: Any, expected: set[str]) -> bool:
    return set(await registered(app_log)) == expected


async def test_one_that_leaves_between_the_two_steps_is_not_registered(held_up: Any, app_log: Any) -> None:
    """It has a number then, but none that anybody is told."""
    node, redis = held_up
    async with connect(node.url, app_log.app_id, "one"):
        await wait_until(lambda: redis.asked == 1)
        (gone,) = node.app(app_log.app_id).delivery.gateways
        gone.socket.close(CloseCode.NODE_RESTARTS)
        redis.may_go.release()
        async with connect(node.url, app_log.app_id, "next"):
            await wait_until(lambda: redis.asked == 2, what="the next one's first step, with none between")
            assert not await registered(app_log)
            redis.may_go.release()
            redis.may_go.release()
            await wait_until(lambda: is_registered(app_log, {"next"}))
        redis.may_go.release()
    assert node.push_node.connections.metrics.refused._value.get() == 0, "who has left is refused nothing"


async def test_the_departure_of_an_older_one_leaves_the_newer_registered(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as older:
        await older.wait_for_code(2000)
        first = (await registered(app_log))["one"]
        async with connect(node.url, app_log.app_id, "one") as newer:
            await newer.wait_for_code(2000)
            assert await older.wait_closed() == 4409
            await wait_until(lambda: len(node.app(app_log.app_id).delivery.gateways) == 1)
            async with connect(node.url, app_log.app_id, "other") as other:
                await other.wait_for_code(2000)
                takeover = node.push_node.connections.takeover
                await wait_until(lambda: not takeover._departures and not takeover._departing)
                assert set(await registered(app_log)) == {"one", "other"}
                assert (await registered(app_log))["one"] > first
                assert node.gateway(app_log.app_id, "one").number == (await registered(app_log))["one"]


@pytest.mark.parametrize(("age_days", "is_kept"), [(31, False), (29, True)])
async def test_what_dead_nodes_left_is_removed_after_30_days(
    node: Any, app_log: Any, age_days: int, is_kept: bool
) -> None:
    number = time.time_ns() // 1000 - age_days * 86_400_000_000
    await app_log.redis.zadd(names.gateways(app_log.app_id), {"dead": number})
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        assert ("dead" in await registered(app_log)) is is_kept


async def test_after_a_loss_of_redis_those_who_are_here_are_registered_again(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        before = await registered(app_log)
        fence = names.gateway_fence(app_log.app_id)
        await looked_at(node, app_log)
        await app_log.lose(names.gateways(app_log.app_id), fence)
        await wait_until(lambda: is_registered(app_log, {"one"}))
        assert await registered(app_log) == before
        assert int(await app_log.redis.zscore(fence, "f")) == before["one"]
        assert gateway.close_code is None


async def test_a_loss_of_redis_is_borne_where_nobody_is_left(node: Any, app_log: Any) -> None:
    """The app is still followed for a while."""
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        app = node.app(app_log.app_id)
        newest = list(app.newest.values())
    await wait_until(lambda: not app.newest)
    await node.push_node.connections.takeover.check(app, newest, [None])
    assert not await registered(app_log)


async def test_one_whose_takeover_is_lost_hides_no_other(node: Any, app_log: Any) -> None:
    async with (
        connect(node.url, app_log.app_id, "one") as one,
        connect(node.url, app_log.app_id, "two") as two,
    ):
        await one.wait_for_code(2000)
        await two.wait_for_code(2000)
        await app_log.redis.delete(names.gateways(app_log.app_id))
        number = await app_log.redis.zincrby(names.gateway_fence(app_log.app_id), 1, "f")
        await app_log.redis.zadd(names.gateways(app_log.app_id), {"two": number}, gt=True)
        await app_log.change_gateways()
        assert await two.wait_closed() == 4409
        assert one.close_code is None


async def test_numbers_go_on_after_redis_was_emptied(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as older:
        await older.wait_for_code(2000)
        before = await registered(app_log)
        await app_log.redis.delete(names.gateways(app_log.app_id), names.gateway_fence(app_log.app_id))
        async with connect(node.url, app_log.app_id, "one") as newer:
            await newer.wait_for_code(2000)
            assert await older.wait_closed() == 4409
            assert (await registered(app_log))["one"] > before["one"]


async def test_registrations_end_by_themselves_and_are_written_again(
    start_node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No change tells of their end."""
    monkeypatch.setattr(monitor, "TOUR_SECONDS", 1.0)
    node = await start_node()
    keys = [names.gateways(app_log.app_id), names.gateway_fence(app_log.app_id)]
    month = 30 * 86_400_000

    async def remaining() -> list[int]:
        return [await app_log.redis.pttl(key) for key in keys]

    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        assert all(0 < each <= month for each in await remaining())
        await looked_at(node, app_log)
        await app_log.redis.delete(*keys)

        async def is_registered() -> bool:
            return all(0 < each <= month for each in await remaining())

        await wait_until(is_registered)
        assert list(await registered(app_log)) == ["one"]
        assert gateway.close_code is None
