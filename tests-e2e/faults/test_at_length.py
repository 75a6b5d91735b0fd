"""Repeated faults: a few repetitions in `make test`, many in `make faults`."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any

import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment
from imc_testkit.figures import figures_of, timed_pushes
from imc_testkit.history import Answer
from imc_testkit.load import Load
from imc_testkit.servers import PrivateMariadb, PrivateRedis
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

IS_LONG = bool(os.environ.get("LONG"))
KILLS = 20 if IS_LONG else 2
MESSAGES = 100_000 if IS_LONG else 6_000
BATCH = 100
ROUNDS, PUSHES = 7, 150


@pytest.mark.timeout(600)
async def test_no_push_is_lost_when_pubsub_connections_are_killed_each_second(
    load_with: Make, judge: Judge, installation: Deployment, own_stores: Stores
) -> None:
    """Every gateway gets every message in order, without a disconnect."""
    async with load_with(installation) as load, own_stores.redis() as redis:
        sending = asyncio.gather(*(send_many(load, app_id) for app_id in load.app_ids))
        kills = 0
        while not sending.done():
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
            kills += 1
            await asyncio.wait({sending}, timeout=1)
        await sending
        report = await judge(load, 120, replay=False)
        print(f"{load.acknowledged} messages, Pub/Sub killed {kills} times")  # noqa: T201
        assert report.is_clean, report
        assert load.acknowledged == MESSAGES
        assert len(load.history.connections) == len(load.gateways)


async def send_many(load: Load, app_id: str) -> None:
    for _ in range(MESSAGES // len(load.app_ids) // BATCH):
        attempts = await load.clients.send_batch(
            [load.clients.draft(app_id, with_id=False) for _ in range(BATCH)]
        )
        assert all(attempt.answer is Answer.ACKNOWLEDGED for attempt in attempts)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("victim", ["redis", "mariadb"])
async def test_sends_and_pushes_recover_each_time_a_server_is_killed(
    load_with: Make,
    judge: Judge,
    installation: Deployment,
    own_redis: PrivateRedis,
    own_mariadb: PrivateMariadb,
    victim: str,
) -> None:
    """After each restart, sends are acknowledged, pushed and stored again."""
    server = own_redis if victim == "redis" else own_mariadb
    flowing: list[float] = []
    stored: list[float] = []
    async with load_with(installation) as load:
        load.begin(disturb=False)
        await load.more(20)
        with load.database_outage():
            for _ in range(KILLS):
                await server.kill()
                await server.start()
                began = time.monotonic()
                message_ids = await until_sends_and_pushes_flow(load)
                flowing.append(time.monotonic() - began)
                await load.stores.stored(message_ids, timeout=60)
                stored.append(time.monotonic() - began)
                await load.more(20)
            await installation.ready()
        report = await judge(load, 60)
        print(  # noqa: T201
            f"{victim} killed {KILLS} times: {figures_of(load.history)}; worst time until sends and pushes "
            f"flow again {max(flowing):.1f} s, until the database has caught up {max(stored):.1f} s"
        )
        assert report.is_clean, report


async def until_sends_and_pushes_flow(load: Load) -> list[str]:
    """Wait until a new message of each app is acknowledged, and pushed to all gateways that get everything.

    Returns the ids.
    """
    message_ids: list[str] = []
    for app_id in load.app_ids:
        message_id = await wait_until(
            lambda app_id=app_id: accepted(load, app_id), 60, what="a send to be acknowledged"
        )
        mine = [each for each in load.gateways if each.app_id == app_id and not each.lists_groups]
        await wait_until(
            lambda mine=mine, message_id=message_id: all(
                gateway.connection is not None
                and any(frame.message_id == message_id for frame in reversed(gateway.connection.frames))
                for gateway in mine
            ),
            30,
            what="the push of a new message",
        )
        message_ids.append(str(message_id))
    return message_ids


async def accepted(load: Load, app_id: str) -> str | None:
    return (await load.clients.send(load.clients.draft(app_id, with_id=False))).message_id


@pytest.mark.skipif(not IS_LONG, reason="it measures for a minute")
async def test_a_stalled_gateway_does_not_slow_the_others(
    small: Make, load_small: Make, judge: Judge
) -> None:
    """Print the ratio of push delays, in alternating rounds with a stalled gateway and without."""
    delays: dict[bool, list[float]] = {False: [], True: []}
    async with small() as deployment, load_small(deployment, apps=1, gateways=10) as load:
        load.begin(disturb=False)
        stalled = load.gateways[0]
        for _ in range(ROUNDS):
            for stalls in delays:
                if stalls:
                    stalled.stall()
                since = time.monotonic()
                await load.more(PUSHES)
                pushes = [push for push in timed_pushes(load.history) if push.acknowledged > since]
                delays[stalls].append(quantiles([push.at - push.acknowledged for push in pushes], n=100)[98])
                stalled.resume_reading()
        report = await judge(load, replay=False)
        without, beside = median(delays[False]), median(delays[True])
        print(  # noqa: T201
            f"p99 from acknowledgement to push, medians of {ROUNDS}: {without * 1000:.1f} ms, "
            f"beside a stalled gateway {beside * 1000:.1f} ms: {beside / without:.2f} times"
        )
        assert report.is_clean, report
