"""What the processes of an installation say of themselves, in one sorted set in Redis.

Each process writes a record of itself every few seconds, scored by Redis' clock. So a record tells when its
process was last seen, and is a lease: what a process has written elsewhere counts while it is seen.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from imc_contracts import names
from imc_contracts.operator_views import Process
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_service import background, ticks
from imc_service.health import Readiness
from imc_service.logs import get_logger
from imc_service.redis import masters as redis_masters
from imc_service.redis.masters import Masters

logger = get_logger("presence")

PERIOD_SECONDS = 5.0
UNREADY_SECONDS = 1.0
"""The same while the process is not ready: at its start that takes a moment."""

LEASE_MS = 15_000
"""How long after it was last seen a process still counts as running."""

KEEP_MS = 60_000
"""How long after it was last seen a process is still listed."""

MOST_PROCESSES = 500
"""How many are listed, those last seen come first."""

MOST_REASON_CHARACTERS = 300

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Identity:
    """A process among all: its program, its address, and an id that no other process ever has."""

    name: str
    version: str
    address: str
    id: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    started_at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)


def address_at(host: str, port: int) -> str:
    """Where a process that listens on ``host`` is: on all addresses, it is at the name of its machine."""
    return f"{host if host in LOOPBACK else socket.gethostname()}:{port}"


@contextlib.asynccontextmanager
async def announced(redis_url: str, identity: Identity, readiness: Readiness) -> AsyncGenerator[None]:
    """Announce this process while the context lasts. Redis may come later, and go."""
    async with contextlib.aclosing(redis_masters.connect(redis_url, max_connections=2)) as masters:
        presence = _Presence(masters, identity, readiness)
        try:
            async with background.running(background.lasting(presence.run)):
                yield
        finally:
            await presence.leave()


class _Presence:
    """Writes the record of this process."""

    def __init__(self, masters: Masters, identity: Identity, readiness: Readiness) -> None:
        self._masters = masters
        self._identity = identity
        self._readiness = readiness
        self._there: set[bytes] = set()
        """The records that Redis may have: more than one while it is not known whether one was taken."""

    async def run(self) -> None:
        """Write it every `PERIOD_SECONDS` until cancelled."""
        while True:
            reasons = await self._readiness.reasons_by_part()
            try:
                await self._write(self._record(reasons))
            except (RedisError, OSError) as error:
                logger.debug("the process is not announced", fault=type(error).__name__)
            await asyncio.sleep(ticks.pause(UNREADY_SECONDS if reasons else PERIOD_SECONDS))

    async def leave(self) -> None:
        """Remove it, if Redis is there."""
        if not self._there:
            return
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._masters.run(
                    names.PROCESSES,
                    lambda redis: redis.zrem(names.PROCESSES, *self._there),  # pyright: ignore
                )

    def _record(self, reasons: Mapping[str, str]) -> bytes:
        identity = self._identity
        return orjson.dumps(
            {
                "name": identity.name,
                "id": identity.id,
                "address": identity.address,
                "version": identity.version,
                "startedAt": identity.started_at,
                "ready": not reasons,
                "reasons": {part: reason[:MOST_REASON_CHARACTERS] for part, reason in reasons.items()},
            }
        )

    async def _write(self, record: bytes) -> None:
        async def write(redis: Redis) -> None:
            now = await _now_ms(redis)
            async with redis.pipeline(transaction=False) as pipeline:
                run = cast(Any, pipeline).execute_command
                run("ZADD", names.PROCESSES, now, record)
                if older := self._there - {record}:
                    run("ZREM", names.PROCESSES, *older)
                run("ZREMRANGEBYSCORE", names.PROCESSES, "-inf", now - KEEP_MS)
                await pipeline.execute()

        self._there.add(record)
        await self._masters.run(names.PROCESSES, write)
        self._there = {record}


async def processes(masters: Masters) -> list[Process]:
    """The processes that were seen within `KEEP_MS`, by name and id. Raises what redis-py raises."""

    async def read(redis: Redis) -> list[tuple[bytes, float]]:
        now = await _now_ms(redis)
        return cast(
            Any,
            await redis.zrevrangebyscore(  # pyright: ignore[reportUnknownMemberType]
                names.PROCESSES, "+inf", now - KEEP_MS, 0, MOST_PROCESSES, withscores=True
            ),
        )

    found: dict[str, Process] = {}
    for record, seen in await masters.run(names.PROCESSES, read):
        process = _read(record, int(seen))
        # Of two records of one process the newer one comes first.
        if process is not None:
            found.setdefault(process["id"], process)
    return sorted(found.values(), key=lambda process: (process["name"], process["id"]))


async def running(masters: Masters) -> dict[str, str]:
    """The addresses of the processes that are running, by their ids. Raises what redis-py raises."""
    all_of_them = await processes(masters)
    newest = max((process["lastSeen"] for process in all_of_them), default=0)
    return {
        process["id"]: process["address"]
        for process in all_of_them
        if process["lastSeen"] > newest - LEASE_MS
    }


def _read(record: bytes, seen: int) -> Process | None:
    try:
        return cast(Process, {**orjson.loads(record), "lastSeen": seen})
    except (orjson.JSONDecodeError, TypeError):
        return None  # written by hand


async def _now_ms(redis: Redis) -> int:
    seconds, microseconds = await redis.time()  # pyright: ignore[reportUnknownMemberType]
    return int(seconds) * 1000 + int(microseconds) // 1000
