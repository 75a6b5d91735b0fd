"""Curve: rates of sends and of projection over the size of the backlog."""

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
from imc_bench.rows import Curve, InvalidRun, Result, Scale, Spread

SIZE = 100
CALLERS = 8
SHORT_BACKLOGS = (0, 1_000, 10_000, 100_000)
FULL_BACKLOGS = (0, 1_000, 10_000, 100_000, 1_000_000)
_SLICE_ROWS = 2_000
"""The minimum number of rows from which a rate of projection is computed."""

_CHECKSUMS = (
    f"SELECT COUNT(*), COUNT(DISTINCT log_id), BIT_XOR(CRC32(CONCAT(message_id, log_id))) FROM {MESSAGES}"  # noqa: S608
)


def measure(scale: Scale) -> list[Result]:
    """Measure messages per second into the log, then into the database."""
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
    """The backlog of one app. Sends grow it, then a projector drains it."""

    def __init__(self, url: str, redis: Any, scale: Scale) -> None:
        self._url = url
        self._redis = redis
        self._scale = scale
        self._app_id = senders.new_app()
        self._acknowledged: list[Acknowledged] = []

    async def grow(self, size: int) -> Spread:
        """Send until the backlog has ``size`` messages; then measure sends per second."""
        if size > len(self._acknowledged):
            await self._send(math.inf, math.ceil((size - len(self._acknowledged)) / CALLERS / SIZE))
        seconds = self._scale.seconds / self._scale.rounds
        return spread([await self._send(seconds, None) for _ in range(self._scale.rounds)], "messages/s")

    async def drain(self) -> list[tuple[float, int]]:
        """Wait until the backlog is empty; return times in seconds with the size of the backlog."""
        total = len(self._acknowledged)
        seen = [(time.perf_counter(), total)]
        while seen[-1][1] > 0:
            # A busy loop: the query takes Redis microseconds, and the load core has nothing else to do.
            waiting = int(await self._redis.hget(names.log_state(self._app_id), "waiting") or 0)
            if waiting != seen[-1][1]:
                seen.append((time.perf_counter(), waiting))
            if time.perf_counter() > seen[-1][0] + callers.TIMEOUT_SECONDS:
                raise InvalidRun(f"{seen[-1][1]} messages are not projected")
        return seen[1:]  # the first is the start of the process

    async def check(self, servers: Stores) -> str:
        """Compare the rows with the acknowledged messages; return what was verified. Raises `InvalidRun`."""
        [found] = await databases.run(servers.database_url, _CHECKSUMS)
        if tuple(map(int, found)) != checksums_of(self._acknowledged):
            raise InvalidRun(
                f"{len(self._acknowledged)} messages were acknowledged; count and checksums of rows: {found}"
            )
        return f"{len(self._acknowledged):,} acknowledged messages have one row each, with the right log id"

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


def checksums_of(acknowledged: Sequence[Acknowledged]) -> tuple[int, int, int]:
    """The number of messages, the number of distinct log ids, and a checksum of all ids."""
    total = 0
    for each in acknowledged:
        total ^= crc32(f"{each.message_id}{EntryId.parse(each.entry).column}".encode())
    return len(acknowledged), len({each.entry for each in acknowledged}), total


def by_size(seen: Sequence[tuple[float, int]], sizes: Sequence[int]) -> dict[float, Spread]:
    """Rows per second of a drain, by the nearest size of the backlog in ``sizes``."""
    rates: dict[float, list[float]] = {}
    since, left_then = seen[0]
    for now, left in seen[1:]:
        if left_then - left < _SLICE_ROWS and left > 0:
            continue
        nearest = min(sizes, key=lambda size: abs(math.log10(max(size, 1)) - math.log10(max(left, 1))))
        rates.setdefault(float(nearest), []).append((left_then - left) / (now - since))
        since, left_then = now, left
    return {size: spread(of_size, "messages/s") for size, of_size in sorted(rates.items())}
