"""Streams and polls beside WebSockets, under load and faults: the same events, in the same order, once."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment, Start
from imc_testkit.load import Load
from imc_testkit.recorded_events import RecordedReader
from imc_testkit.servers import PrivateRedis

Judge = Callable[..., Awaitable[Report]]
LoadOn = Callable[..., AbstractAsyncContextManager[Load]]

MIXED = {"gateways": 1, "readers": 1}


def pushes_of(load: Load) -> dict[str, int]:
    """How many events each kind of reader got."""
    kinds = {gateway.gateway_id: type(gateway).__name__ for gateway in load.gateways}
    counts = dict.fromkeys(kinds.values(), 0)
    for connection in load.history.connections:
        counts[kinds[connection.gateway_id]] += sum(frame.code == 2001 for frame in connection.frames)
    return counts


async def test_nothing_is_lost_when_push_nodes_are_killed(
    installation: Deployment, load_with: LoadOn, judge: Judge
) -> None:
    async with load_with(installation, **MIXED) as load:
        load.begin()
        await load.more(20)
        for node in installation.push_nodes:
            await node.kill()
            await load.more(30)
            await node.start()
            await node.ready()
        report = await judge(load)
        assert report.is_clean, report
        assert min(pushes_of(load).values()) > 50


async def test_nothing_is_lost_when_push_nodes_drain(
    installation: Deployment, load_with: LoadOn, judge: Judge
) -> None:
    async with load_with(installation, **MIXED) as load:
        load.begin()
        await load.more(20)
        for node in installation.push_nodes:
            assert await node.terminate() == 0
            await load.more(20)
            await node.start()
            await node.ready()
        report = await judge(load)
        assert report.is_clean, report
        readers = [gateway for gateway in load.gateways if isinstance(gateway, RecordedReader)]
        assert len(readers) == 4


async def test_nothing_is_lost_when_redis_is_killed(
    small: Any, load_small: LoadOn, judge: Judge, lone_redis: PrivateRedis
) -> None:
    async with (
        small(push_nodes=(Start(), Start())) as deployment,
        load_small(deployment, **MIXED) as load,
    ):
        load.begin()
        await load.more(20)
        for _ in range(2):
            await lone_redis.kill()
            await lone_redis.start()
            await load.more(30, timeout=60)
        report = await judge(load)
        assert report.is_clean, report
