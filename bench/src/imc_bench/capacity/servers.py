"""Row ``servers``: the CPU time that Redis and the database take, by what they do.

Redis runs the append script on recorded batches of each size, heard by some and by nobody; then a projector
reads a log. The database answers pages of history.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop
from imc_contracts import names
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, reads, redis_alone, senders
from imc_bench.http.senders import PATH
from imc_bench.http.stores import Stores, stores
from imc_bench.installation import installation
from imc_bench.processes import measured, started
from imc_bench.rounds import Measure, alternate, percentile, spread
from imc_bench.rows import Curve, Result, Scale
from imc_bench.store.archive import archive
from imc_bench.store.history import history, warm

BATCHES = (1, 10, 100, 500)
"""Messages in a batch."""

HEARD = (1, 100)
"""The sizes that are also measured while others hear them."""

LISTENERS = 8
TITLE = "Redis: appending and publishing a batch"
_UNIT = "µs/message"
_PROJECTION_SECONDS = 120.0
_POLL_SECONDS = 0.02


def measure(scale: Scale) -> list[Result]:
    """Measure microseconds of CPU of Redis a message and a row, and of the database a page."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    appends = await _appends(scale)
    batches = {float(size): spread(appends[f"{size}"], _UNIT) for size in BATCHES}
    figures = {f"a message, batches of {size}": batches[size] for size in BATCHES}
    figures |= {
        f"the same to {LISTENERS} connections, batches of {size}": spread(appends[f"{size} heard"], _UNIT)
        for size in HEARD
    }
    figures["a send alone, until its reply"] = spread(await _alone(scale), "µs")
    figures["a row projected, Redis"] = spread(await _projection(scale), "µs/row")
    figures["a page of history, database"] = spread(await _pages(scale), "µs/page")
    return Result(
        "servers",
        "CPU of Redis a message and a row, of the database a page",
        figures,
        checks=["every message is in the log once", "all rows are in the database", "all pages are whole"],
        curve=Curve(TITLE, "messages in a batch", "microseconds of CPU a message", {"Redis": batches}),
    )


async def _appends(scale: Scale) -> dict[str, list[float]]:
    """Microseconds of CPU of Redis a message, by the size of batches, heard by nobody and by `LISTENERS`."""
    contenders: dict[str, Measure] = {}
    async with private_redis() as server, Redis.from_url(server.url) as redis:  # pyright: ignore
        for size in BATCHES:
            app_id, count = senders.new_app(), scale.of(2_000, 20_000) // max(size, 10)
            commands = await redis_alone.record(server.url, app_id, count, size)
            play = partial(redis_alone.play, redis, server.process.pid, app_id, commands, size)
            contenders[f"{size}"] = play
            if size in HEARD:
                contenders[f"{size} heard"] = partial(_heard, server.url, app_id, play)
        found = await alternate(contenders, scale.rounds)
    return {name: each["Redis"] for name, each in found.items()}


async def _heard(redis_url: str, app_id: str, play: Measure) -> Mapping[str, float]:
    async with _hearers(redis_url, app_id):
        return await play()


class _Hearer(asyncio.Protocol):
    """Subscribes to a channel and drops what it hears."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._transport: asyncio.Transport | None = None
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(f"SSUBSCRIBE {self._channel}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """The first bytes are the confirmation."""
        if not self.subscribed.done():
            self.subscribed.set_result(None)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()


@contextlib.asynccontextmanager
async def _hearers(redis_url: str, app_id: str) -> AsyncGenerator[None]:
    """`LISTENERS` connections that hear what is published of an app."""
    place, loop = urlsplit(redis_url), asyncio.get_running_loop()
    host, port = place.hostname or "127.0.0.1", place.port or 6379
    channel = names.live(app_id, 0)
    opened = [
        (await loop.create_connection(lambda: _Hearer(channel), host, port))[1] for _ in range(LISTENERS)
    ]
    try:
        await asyncio.gather(*(each.subscribed for each in opened))
        yield
    finally:
        for each in opened:
            each.close()


async def _alone(scale: Scale) -> list[float]:
    """Microseconds from a send to its reply while there is no other: the median of each round."""
    async with installation() as installed:
        url = installed.deployment.command_apis[0].url
        waits: list[float] = []
        for _ in range(scale.rounds):
            app_id = senders.new_app()
            calls = await callers.call(
                url, 1, scale.seconds / 2, lambda sender, app_id=app_id: drafts.singles(app_id, PATH, sender)
            )
            waits.append(percentile(calls.all_latencies, 0.5) * 1e6)
    return waits


async def _projection(scale: Scale) -> list[float]:
    """Microseconds of CPU of Redis a row that the projector reads and marks as projected."""
    async with (
        stores() as servers,
        Redis.from_url(servers.redis_url) as redis,  # pyright: ignore
        measured("imc-command-api", servers.env) as command_api,
    ):
        return [
            await _project(servers, redis, command_api.url, scale.of(8_000, 40_000))
            for _ in range(scale.rounds)
        ]


async def _project(servers: Stores, redis: Any, url: str, rows: int) -> float:
    app_id = senders.new_app()
    await senders.fill(url, app_id, rows)

    async def count() -> int:
        return rows - int(await redis.hget(names.log_state(app_id), "waiting") or 0)

    async def is_done() -> bool:
        return await count() >= rows

    async with started("imc-projector", servers.env):
        first = await wait_until(count, _PROJECTION_SECONDS, _POLL_SECONDS, what="the first rows")
        before = cpu_seconds(servers.redis_pid)
        await wait_until(is_done, _PROJECTION_SECONDS, _POLL_SECONDS, what="all rows")
        spent = cpu_seconds(servers.redis_pid) - before
    await senders.forget(redis, app_id)
    return spent / max(rows - first, 1) * 1e6


async def _pages(scale: Scale) -> list[float]:
    """Microseconds of CPU of the database a page of history, the pages of row 7."""
    async with archive() as server:
        stored = await history(server.url, reads.ROWS)
        await warm(stored)
        requests = [callers.get(target) for target in reads.targets(stored)]
        async with measured("imc-query-api", {"IMC_DATABASE_URL": stored.url}) as query_api:
            costs: list[float] = []
            for _ in range(scale.rounds):
                before = cpu_seconds(server.process.pid)
                calls = await callers.call(
                    query_api.url, reads.CALLERS, scale.seconds, lambda _: callers.endless(requests)
                )
                costs.append((cpu_seconds(server.process.pid) - before) / calls.count * 1e6)
    return costs
