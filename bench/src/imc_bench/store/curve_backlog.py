"""Curve: sends, and their projection, as what waits for the database grows."""

import contextlib
import math
import time
from binascii import crc32
from collections.abc import Sequence
from typing import Any

import uvloop
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_contracts.schema import MESSAGES
from imc_testkit import databases
from redis.asyncio import Redis

from imc_bench.http import callers, drafts, senders
from imc_bench.http.log_check import Acknowledged
from imc_bench.http.stores import Stores, stores
from imc_bench.processes import measured, started
from imc_bench.rounds import spread
from imc_bench.rows import Curve, Faulty, Result, Scale, Spread

SIZE = 100
CALLERS = 8
SHORT_BACKLOGS = (0, 1_000, 10_000, 100_000)
FULL_BACKLOGS = (0, 1_000, 10_000, 100_000, 1_000_000)
_SLICE_ROWS = 2_000
"""A rate of projection is that of at least so many rows."""

_SUMS = f"SELECT COUNT(*), COUNT(DISTINCT log_id), BIT_XOR(CRC32(CONCAT(message_id, log_id))) FROM {MESSAGES}"  # noqa: S608


def measure(scale: Scale) -> list[Result]:
    """Messages a second into the log, then out of it."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    backlogs = FULL_BACKLOGS if scale.name == "full" else SHORT_BACKLOGS
    async with contextlib.AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stores())
        redis = await stack.enter_async_context(Redis.from_url(servers.redis_url))  # pyright: ignore
        async with measured("imc-command-api", servers.env) as command_api:
            backlog = _Backlog(command_api.url, redis, scale)
            sends = {float(size): await backlog.grow(size) for size in backlogs}
        async with started("imc-projector", servers.env):
            projection = by_size(await backlog.drain(), backlogs)
        check = await backlog.check(servers)
    curve = Curve(
        "Sends and projection behind a backlog",
        "messages that wait for the database",
        "messages/s",
        {f"sends in batches of {SIZE}": sends, "projection": projection},
    )
    return [Result("backlog", curve.title, {}, checks=[check], curve=curve)]


class _Backlog:
    """One app's, grown by sends alone, then drained."""

    def __init__(self, url: str, redis: Any, scale: Scale) -> None:
        self._url = url
        self._redis = redis
        self._scale = scale
        self._app_id = senders.new_app()
        self._acknowledged: list[Acknowledged] = []

    async def grow(self, size: int) -> Spread:
        """Send until ``size`` messages wait; then messages a second at that size."""
        if size > len(self._acknowledged):
            await self._send(math.inf, math.ceil((size - len(self._acknowledged)) / CALLERS / SIZE))
        seconds = self._scale.seconds / self._scale.rounds
        return spread([await self._send(seconds, None) for _ in range(self._scale.rounds)], "messages/s")

    async def drain(self) -> list[tuple[float, int]]:
        """Follow the projector until nothing waits: at each time (in seconds) how many messages did."""
        total = len(self._acknowledged)
        seen = [(time.perf_counter(), total)]
        while seen[-1][1] > 0:
            # Asked all the time: it takes Redis microseconds, and the load's core has nothing else to do.
            projected = int(await self._redis.hget(names.log_state(self._app_id), "projected") or 0)
            if total - projected != seen[-1][1]:
                seen.append((time.perf_counter(), total - projected))
            if time.perf_counter() > seen[-1][0] + callers.PATIENCE_SECONDS:
                raise Faulty(f"{seen[-1][1]} messages are not projected")
        return seen[1:]  # before the first came the start of the process

    async def check(self, servers: Stores) -> str:
        """What was verified; raises `Faulty`."""
        [found] = await databases.run(servers.database_url, _SUMS)
        if tuple(map(int, found)) != sums_of(self._acknowledged):
            raise Faulty(
                f"{len(self._acknowledged)} messages were acknowledged; count and sums of rows: {found}"
            )
        return f"{len(self._acknowledged):,} acknowledged messages are each one row, at their place"

    async def _send(self, seconds: float, batches: int | None) -> float:
        calls = await callers.call(
            self._url,
            CALLERS,
            seconds,
            lambda sender: drafts.first(
                batches, drafts.batches(self._app_id, senders.BATCH_PATH, sender, SIZE)
            ),
        )
        for of_sender in senders.acknowledged_batches(calls):
            self._acknowledged += of_sender
        return calls.count * SIZE / calls.seconds


def sums_of(acknowledged: Sequence[Acknowledged]) -> tuple[int, int, int]:
    """How many, how many different places, and a sum over all ids with their places."""
    total = 0
    for each in acknowledged:
        total ^= crc32(f"{each.message_id}{EntryId.parse(each.entry).column}".encode())
    return len(acknowledged), len({each.entry for each in acknowledged}), total


def by_size(seen: Sequence[tuple[float, int]], sizes: Sequence[int]) -> dict[float, Spread]:
    """Rows a second of a drain, where about so many were left; nothing for sizes that it did not pass."""
    rates: dict[float, list[float]] = {}
    since, left_then = seen[0]
    for now, left in seen[1:]:
        if left_then - left < _SLICE_ROWS and left > 0:
            continue
        nearest = min(sizes, key=lambda size: abs(math.log10(max(size, 1)) - math.log10(max(left, 1))))
        rates.setdefault(float(nearest), []).append((left_then - left) / (now - since))
        since, left_then = now, left
    return {size: spread(of_size, "messages/s") for size, of_size in sorted(rates.items())}
