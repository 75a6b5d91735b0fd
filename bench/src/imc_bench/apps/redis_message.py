"""Row 13: CPU time of Redis for a message that is sent in a batch, pushed, projected and trimmed."""

import math
from collections.abc import Mapping
from itertools import islice

import uvloop
from imc_contracts import names
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

from imc_bench.apps.whole import Whole, gateways, whole
from imc_bench.http import callers, drafts, senders
from imc_bench.rounds import alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale

BATCH = 100
MICROSECONDS = 8.0
"""The most that a message may cost."""

_CALLERS = 4
_TRIM_SECONDS = 120.0
_ENV = {"IMC_LOG_RETENTION_SECONDS": "0"}
"""Entries are trimmed as soon as the database has them."""


def measure(scale: Scale) -> list[Result]:
    """Measure rounds of sends, each until its log is empty."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    batches = scale.of(100, 500)
    async with whole(_ENV) as own, Redis.from_url(own.servers.redis_url) as redis:  # pyright: ignore
        found = await alternate({"IMC": lambda: _round(own, redis, batches)}, scale.rounds)
    figures = {name: spread(values, "µs/message") for name, values in found["IMC"].items()}
    median = figures["Redis"].median
    return Result(
        row="13",
        name=f"Redis for a message, in batches of {BATCH}: sent, pushed to a gateway, projected, trimmed",
        figures=figures,
        goal=f"≤ {MICROSECONDS:g} µs",
        ratio=median / MICROSECONDS,
        met=median <= MICROSECONDS,
        checks=["every message is a row and was pushed", "the log has one entry at the end of each round"],
    )


async def _round(own: Whole, redis: Redis, batches: int) -> Mapping[str, float]:
    app_id, messages, rows = senders.new_app(), _CALLERS * batches * BATCH, await own.rows()
    async with gateways(own.deployment.push_nodes[0].port, {app_id: 1}) as audiences:
        before = own.cpu()
        calls = await callers.call(
            own.send_url,
            _CALLERS,
            math.inf,
            lambda sender: islice(drafts.batches(app_id, senders.BATCH_PATH, sender, BATCH), batches),
        )
        if calls.count != _CALLERS * batches:
            raise InvalidRun(f"{calls.count} of {_CALLERS * batches} batches were accepted")
        await own.projected(rows + messages)

        async def is_trimmed() -> bool:
            return await redis.xlen(names.log(app_id)) <= 1  # the newest one stays

        await wait_until(is_trimmed, _TRIM_SECONDS, 0.2, what="the log to be trimmed")
        used = own.cpu()
        await audiences[app_id].delivered(messages)
    return {part: (now - before[part]) / messages * 1e6 for part, now in used.items()}
