"""Processes of IMC are killed at random moments and at the most critical ones."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment, Start
from imc_testkit.gateways import RecordedGateway
from imc_testkit.load import Load
from imc_testkit.stores import Stores
from imc_testkit.variants.failpoints import failpoint
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

GATEWAYS = 1000 if os.environ.get("LONG") else 200


@pytest.mark.parametrize("kind", ["command_apis", "projectors", "push_nodes"])
async def test_nothing_is_lost_when_processes_are_killed(
    load: Load, judge: Judge, installation: Deployment, kind: str
) -> None:
    for process in getattr(installation, kind):
        await process.kill()
        await load.more(40)
        await process.start()
        await process.ready()
    await load.more(20)
    report = await judge(load)
    assert report.is_clean, report


async def test_nothing_is_lost_when_processes_die_at_critical_points(
    small: Make, load_small: Make, judge: Judge, tmp_path: Path
) -> None:
    """Around the append, after reading, before COMMIT, before a position moves, in the middle of a frame."""
    marks: list[Path] = []

    def dies(name: str, time: int) -> Start:
        marks.append(tmp_path / name)
        return Start(failpoint(marks[-1], time=time), name)

    async with (
        small(
            command_apis=(dies("fails-before-append", 40), dies("fails-after-append", 40)),
            projectors=(
                dies("fails-after-reading", 5),
                dies("fails-before-commit", 5),
                dies("fails-before-advancing", 5),
            ),
            push_nodes=(dies("fails-mid-frame", 60), Start()),
        ) as deployment,
        # So many apps that each projector has shards of some.
        load_small(deployment, apps=24) as load,
    ):
        load.begin()
        restarting = asyncio.create_task(restart_dead(deployment))
        try:
            await wait_until(lambda: all(mark.exists() for mark in marks), 30)
            await load.more(50)
        finally:
            restarting.cancel()
        assert [process.exit_code for process in deployment.processes] == [None] * 7
        report = await judge(load)
        assert report.is_clean, report


async def restart_dead(deployment: Deployment) -> None:
    """Restart processes that died, as an orchestrator does."""
    while True:
        died = await wait_until(
            lambda: [process for process in deployment.processes if process.exit_code is not None], 60
        )
        for process in died:
            assert process.exit_code == -signal.SIGKILL, process.log
            await process.start()


async def test_many_gateways_that_reconnect_at_once_share_reads_of_the_log(
    load_with: Make, judge: Judge, own_stores: Stores, installation: Deployment
) -> None:
    """Redis is read once per app and node, not once per gateway."""
    async with load_with(installation, apps=1, gateways=GATEWAYS) as load:
        load.begin(disturb=False)
        await load.more(60)
        async with own_stores.redis() as redis:
            before = await reads(redis)
            gateways: list[RecordedGateway] = list(load.gateways)
            connections = [gateway.connection for gateway in gateways]
            for gateway in gateways:
                gateway.drop()
            await wait_until(
                lambda: all(
                    gateway.connection is not None and gateway.connection is not old
                    for gateway, old in zip(gateways, connections, strict=True)
                ),
                timeout=20,
            )
            used = await reads(redis) - before
        report = await judge(load)
        print(f"{GATEWAYS} gateways reconnected with {used} reads of the log")  # noqa: T201
        assert report.is_clean, report
        assert used < GATEWAYS


async def reads(redis: Any) -> int:
    """How many range reads of logs Redis has served; projectors use blocking reads instead."""
    statistics = await redis.info("commandstats")
    return statistics.get("cmdstat_xrange", {"calls": 0})["calls"]
