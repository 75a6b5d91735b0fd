"""Whether Redis does what a process needs of it: proven by doing it, not by a ping.

Beside what it refuses, three things that it does without a word make it the wrong server: it may evict what
was acknowledged, it may be a replica that takes writes and loses them, and it may be one node of a cluster.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import code_of, words_of

logger = get_logger("redis")

PERIOD_SECONDS = 1.0
INFO_RETRY_SECONDS = 60.0
"""Where INFO may not be read it is asked for as rarely: each refusal renews the connections."""

PROOF_SECONDS = 1.5
"""Less than a readiness check may take: a server that hangs is told as one."""

Proof = Callable[[], Awaitable[object]]
"""Tries the work without an effect, with the rights that it needs. Raises `RedisError`."""


class RedisHealth:
    """Runs the proof each second, and with each readiness check.

    So connections are renewed and faults are logged even if nobody checks readiness.
    """

    def __init__(self, redis: Redis, proof: Proof, registry: CollectorRegistry, part: str) -> None:
        self._redis = redis
        self._proof = proof
        self._outage = Outage(logger.warning, f"the work of {part.replace('_', '-')} with Redis")
        self._told: set[str] = set()
        self._info_at = 0.0
        self._may_evict = _gauge(registry, part, "may_evict", "1 if Redis may evict what was acknowledged.")
        self._is_unsafe = _gauge(registry, part, "not_persistent", "1 if Redis keeps no append-only file.")

    async def run(self) -> None:
        """Run the proof each second until cancelled."""
        while True:
            await self.ready()
            await asyncio.sleep(PERIOD_SECONDS)

    async def ready(self) -> str | None:
        """A readiness check: why Redis does not do the work, or None."""
        try:
            async with asyncio.timeout(PROOF_SECONDS):
                words = await self._fault()
        except TimeoutError:
            words = "Redis is out of reach: no answer in time"
        except (RedisError, OSError) as error:
            begin = "Redis is out of reach" if code_of(error) is None else "Redis refuses the work"
            words = f"{begin}: {words_of(error)}"
        if words is None:
            self._outage.is_over()
        else:
            self._outage.goes_on(words)
        return words

    async def _fault(self) -> str | None:
        await self._proof()
        if time.monotonic() < self._info_at:
            return None
        try:
            info = await cast(
                "Awaitable[dict[str, Any]]",
                self._redis.info("memory", "persistence", "replication", "cluster"),  # pyright: ignore
            )
        except RedisError as error:
            if code_of(error) is None:
                raise
            self._info_at = time.monotonic() + INFO_RETRY_SECONDS
            self._may_evict.set(math.nan)
            self._is_unsafe.set(math.nan)
            self._warn(f"it can't be known whether Redis may evict messages: {words_of(error)}")
            return None
        return self._fault_in(info)

    def _fault_in(self, info: Mapping[str, Any]) -> str | None:
        policy = str(info.get("maxmemory_policy", ""))
        may_evict = policy not in ("", "noeviction")
        is_unsafe = not info.get("aof_enabled", 1)
        self._may_evict.set(may_evict)
        self._is_unsafe.set(is_unsafe)
        if is_unsafe:
            self._warn("Redis keeps no append-only file (appendonly no): its end loses what was acknowledged")
        if may_evict:
            return f"Redis may evict what was acknowledged: maxmemory-policy is {policy}, not noeviction"
        if info.get("role") == "slave":
            return "Redis is a replica that takes writes: what is written to it is lost"
        if info.get("cluster_enabled"):
            return "Redis is a node of a cluster: logs that belong to other nodes answer MOVED"
        return None

    def _warn(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            logger.warning(words)


def _gauge(registry: CollectorRegistry, part: str, name: str, meaning: str) -> Gauge:
    """A gauge of its own for each part: standalone has several in one registry."""
    return Gauge(f"imc_{part}_redis_{name}", meaning, registry=registry)
