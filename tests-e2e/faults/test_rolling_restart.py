"""A rolling upgrade: every process is restarted under load, in the documented order."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment, separate
from imc_testkit.load import Load
from imc_testkit.waiting import wait_until

DELAY = {"IMC_DRAIN_DELAY_SECONDS": "0.5", "IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}


@pytest.fixture
async def pair(own_redis: Any, own_database_url: str) -> AsyncGenerator[Deployment]:
    """Two processes of each kind, which drain for a while when they stop."""
    async with separate(own_redis.url, own_database_url, DELAY) as deployment:
        yield deployment


async def test_nothing_is_lost_when_every_process_is_restarted(
    pair: Deployment, load_with: Any, judge: Callable[..., Awaitable[Report]]
) -> None:
    load: Load
    async with load_with(pair) as load:
        load.begin()
        await load.more(20)
        # The order that docs/operations/upgrade.md gives for an upgrade.
        for process in (*pair.projectors, *pair.query_apis, *pair.push_nodes, *pair.command_apis):
            began = time.monotonic()
            assert await process.terminate() == 0
            print(f"{process.script} ended in {time.monotonic() - began:.1f} s")  # noqa: T201
            await load.more(10)
            await process.start()
            await process.ready()
        # All gateways have reconnected.
        await wait_until(lambda: all(gateway.connection for gateway in load.gateways))
        report = await judge(load)
        assert report.is_clean, report
