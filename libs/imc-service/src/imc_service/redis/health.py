"""Whether Redis does what a process needs of it: proven by doing it on each master, not by a ping.

Beside what it refuses, three things that it does without a word make it the wrong server: it may evict what
was acknowledged, it may be a replica that takes writes and loses them, and it may be one node of a cluster.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from imc_contracts import names
from imc_contracts.operator_views import RedisMaster
from prometheus_client import CollectorRegistry, Gauge
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_service import ticks
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.client import address_of
from imc_service.redis.errors import code_of, words_of
from imc_service.redis.masters import Masters

logger = get_logger("redis")

PERIOD_SECONDS = 2.0
AGAIN_SECONDS = 1.0
"""Until the next proof once one has failed."""

FRESH_SECONDS = 2.5
"""How long readiness is what the last proof of `run` has found: several parts ask for it each second."""

FOLLOW_SECONDS = 1.0

INFO_RETRY_SECONDS = 60.0
"""Where INFO may not be read it is asked for as rarely: each refusal renews the connections."""

REPLICA_SECONDS = 3
"""A replica answers its master each second. One that has been silent for longer hangs, or is cut off."""

PROOF_SECONDS = 1.5
"""Less than a readiness check may take: a server that hangs is told as one."""

_NODE = "Redis is a node of a cluster: give its URL as redis+cluster://"

_OF_A_CLUSTER = {"MOVED", "ASK", "CROSSSLOT", "CLUSTERDOWN"}

Proof = Callable[[int], Awaitable[object]]
"""Tries the work on the master that holds a shard, without an effect, with the rights that it needs.

Raises `RedisError`.
"""


@dataclass(frozen=True)
class MasterFault:
    """Why a master is not as it should be."""

    words: str
    loses: bool = False
    """Whether the master takes the work, and may lose it without a word."""


class RedisHealth:
    """Runs the proof on each master that holds shards, all the time, and with a readiness check if it is old.

    So connections are renewed and faults are logged even if nobody checks readiness. A master of a cluster
    that is away or refuses the work stops the apps of its shards only: the process is ready as long as
    another master works. It is not ready if any master may lose what it takes.
    """

    def __init__(
        self,
        masters: Masters,
        proof: Proof,
        registry: CollectorRegistry,
        part: str,
        ack_replicas: int = 0,
    ) -> None:
        """``ack_replicas``: how many replicas of a master the work waits for."""
        self._masters = masters
        self._proof = proof
        self._ack_replicas = ack_replicas
        self._outage = Outage(logger.warning, f"the work of {part.replace('_', '-')} with Redis")
        self._told: set[str] = set()
        self._found: str | None = None
        """What the last proof of `run` has found."""
        self._fresh_until = 0.0
        self._infos: dict[Redis, Mapping[str, Any]] = {}
        """What INFO last said of each master, as far as it may be read."""
        self._info_at = 0.0
        self._may_evict = _gauge(registry, part, "may_evict", "1 if Redis may evict what was acknowledged.")
        self._is_unsafe = _gauge(registry, part, "not_persistent", "1 if Redis keeps no append-only file.")
        self._failing = _gauge(registry, part, "masters_failing", "Masters of Redis that do not do the work.")

    async def run(self) -> None:
        """Run the proof again and again until cancelled, and follow what sentinels say."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_proving())
            tasks.create_task(self._keep_following())

    async def _keep_proving(self) -> None:
        while True:
            self._found = await self._prove()
            self._fresh_until = time.monotonic() + FRESH_SECONDS
            await asyncio.sleep(ticks.pause(PERIOD_SECONDS if self._found is None else AGAIN_SECONDS))

    async def _keep_following(self) -> None:
        while True:
            await self._masters.follow()
            await asyncio.sleep(ticks.pause(FOLLOW_SECONDS))

    async def ready(self) -> str | None:
        """A readiness check: why Redis does not do the work, or None."""
        return self._found if time.monotonic() < self._fresh_until else await self._prove()

    async def _prove(self) -> str | None:
        unknown = await fault_of(self._masters.look_for_masters)
        if unknown is not None:
            return self._summed_up([unknown], 1)
        keys = {names.pending(shard): shard for shard in range(names.SHARDS)}
        masters = {redis: keys[held[0]] for redis, held in self._masters.by_master(keys)}
        found = await asyncio.gather(
            *(fault_of(partial(self._look_at, redis, shard)) for redis, shard in masters.items())
        )
        self._infos = {redis: info for redis, info in self._infos.items() if redis in masters}
        if self._masters.is_cluster:
            found = [
                fault and MasterFault(f"{address_of(redis)}: {fault.words}", fault.loses)
                for redis, fault in zip(masters, found, strict=True)
            ]
        return self._summed_up([fault for fault in found if fault is not None], len(masters))

    def masters(self) -> list[RedisMaster]:
        """The masters, and what INFO last said of each, as far as it may be read."""
        keys = map(names.pending, range(names.SHARDS))
        return [_described(redis, self._infos.get(redis, {})) for redis, _ in self._masters.by_master(keys)]

    def _summed_up(self, faults: list[MasterFault], masters: int) -> str | None:
        """Note the faults of some masters; what a readiness check says of them."""
        self._failing.set(len(faults))
        words = [fault.words for fault in faults]
        if uncovered := self._masters.uncovered():
            words.append(f"Redis Cluster has no master for {uncovered} of its slots")
        if words:
            self._outage.goes_on("; ".join(words))
        else:
            self._outage.is_over()
        if len(faults) == masters or any(fault.loses for fault in faults):
            return "; ".join(words)
        return None

    async def _look_at(self, redis: Redis, shard: int) -> MasterFault | None:
        try:
            await self._proof(shard)
        except RedisError as error:
            if self._masters.is_cluster or code_of(error) not in _OF_A_CLUSTER:
                raise
            return MasterFault(f"Redis refuses the work: {words_of(error)}. {_NODE}")
        if time.monotonic() < self._info_at:
            return None
        try:
            info = await cast(
                "Awaitable[dict[str, Any]]",
                redis.info("memory", "persistence", "replication", "cluster"),  # pyright: ignore
            )
        except RedisError as error:
            if code_of(error) is None:
                raise
            self._info_at = time.monotonic() + INFO_RETRY_SECONDS
            self._may_evict.set(math.nan)
            self._is_unsafe.set(math.nan)
            self._warn(f"it can't be known whether Redis may evict messages: {words_of(error)}")
            return None
        self._infos[redis] = info
        self._may_evict.set(any(map(_may_evict, self._infos.values())))
        self._is_unsafe.set(any(map(is_unsafe, self._infos.values())))
        if is_unsafe(info):
            self._warn("Redis keeps no append-only file (appendonly no): its end loses what was acknowledged")
        fault = fault_in(info, is_in_cluster=self._masters.is_cluster)
        return fault or _too_few_replicas(info, self._ack_replicas)

    def _warn(self, words: str) -> None:
        if words not in self._told:
            self._told.add(words)
            logger.warning(words)


def fault_in(info: Mapping[str, Any], *, is_in_cluster: bool) -> MasterFault | None:
    """Why a master is the wrong server, by what its INFO says, or None."""
    if _may_evict(info):
        policy = info["maxmemory_policy"]
        words = f"Redis may evict what was acknowledged: maxmemory-policy is {policy}, not noeviction"
        return MasterFault(words, loses=True)
    if is_in_cluster:
        return None  # its replicas take no writes: the proof is refused or redirected
    if info.get("role") == "slave":
        return MasterFault("Redis is a replica that takes writes: what is written to it is lost", loses=True)
    if info.get("cluster_enabled"):
        return MasterFault(f"{_NODE}, or logs that belong to other nodes answer MOVED")
    return None


def _too_few_replicas(info: Mapping[str, Any], wanted: int) -> MasterFault | None:
    """The fault of a master that has fewer replicas in step than the work waits for, or None."""
    if not wanted or "connected_slaves" not in info:
        return None
    replicas = [info.get(f"slave{number}", {}) for number in range(info["connected_slaves"])]
    in_step = sum(
        replica.get("state") == "online" and replica.get("lag", 0) <= REPLICA_SECONDS for replica in replicas
    )
    if in_step >= wanted:
        return None
    return MasterFault(
        f"nothing can be acknowledged: {in_step} of {wanted} replicas of Redis are in step with it"
    )


async def fault_of(check: Callable[[], Awaitable[MasterFault | None]]) -> MasterFault | None:
    """What a check of a master has found, in time."""
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            return await check()
    except TimeoutError:
        return MasterFault("Redis is out of reach: no answer in time")
    except (RedisError, OSError) as error:
        begin = "Redis is out of reach" if code_of(error) is None else "Redis refuses the work"
        return MasterFault(f"{begin}: {words_of(error)}")


def _described(redis: Redis, info: Mapping[str, Any]) -> RedisMaster:
    is_persistent = info.get("aof_enabled")
    return {
        "address": address_of(redis),
        "usedMemoryBytes": info.get("used_memory"),
        "maxMemoryBytes": info.get("maxmemory"),
        "replicas": info.get("connected_slaves"),
        "isPersistent": None if is_persistent is None else bool(is_persistent),
    }


def _may_evict(info: Mapping[str, Any]) -> bool:
    return str(info.get("maxmemory_policy", "")) not in ("", "noeviction")


def is_unsafe(info: Mapping[str, Any]) -> bool:
    """Whether a master keeps no append-only file, by what its INFO says."""
    return not info.get("aof_enabled", 1)


def _gauge(registry: CollectorRegistry, part: str, name: str, meaning: str) -> Gauge:
    """A gauge of its own for each part: standalone has several in one registry."""
    return Gauge(f"imc_{part}_redis_{name}", meaning, registry=registry)
