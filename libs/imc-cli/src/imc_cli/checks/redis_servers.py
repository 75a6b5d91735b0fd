"""Whether Redis is as IMC needs it."""

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from imc_command_api.log.proof import WorkProof
from imc_command_api.log.shard_count import objection_to
from imc_contracts import names
from imc_service.redis import client, masters
from imc_service.redis import url as redis_url
from imc_service.redis.client import address_of
from imc_service.redis.errors import NotConnected, words_of
from imc_service.redis.health import MasterFault, fault_in, fault_of, is_unsafe
from imc_service.redis.masters import Masters
from imc_service.redis.sentinel import SentinelService
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_cli.checks.findings import Finding, judged

OLDEST = (7, 0)
CLOCK_SECONDS = 5.0
"""How far a clock may differ before tokens and ids suffer."""

CLOCK_TO_WATCH = 1.0
FULL = 0.8
"""The part of its memory that Redis may use before it is told."""

_SENTINEL_SECONDS = 2.0
_UNREACHED = "is IMC_REDIS_URL right, and does it run?"
_CURES = {
    "NOPERM": "give this user the rights of its process: deploy/redis/users.acl",
    "NOAUTH": "put the user and the password into IMC_REDIS_URL",
    "WRONGPASS": "put the user and the password into IMC_REDIS_URL",
    "READONLY": "IMC_REDIS_URL must lead to the master",
    "out of reach": _UNREACHED,
}


async def look_at(url: str, processes: Sequence[str], ack_replicas: int) -> AsyncGenerator[Finding]:
    """What is found of the Redis at ``url``, and whether it lets each of the ``processes`` work."""
    place = redis_url.parse(url)
    if place.kind == "sentinel":
        for address in place.addresses:
            yield await _sentinel(place, address)
    connected = masters.connect(url)
    async with aclosing(connected):
        fault = await fault_of(connected.look_for_masters)
        if fault is not None:
            yield Finding("redis", "reach", "wrong", fault.words, _UNREACHED)
            return
        keys = {names.pending(shard): shard for shard in range(names.SHARDS)}
        found = [(redis, keys[held[0]]) for redis, held in connected.by_master(keys)]
        if connected.is_cluster:
            yield _coverage(connected, len(found))
        for redis, shard in found:
            async for finding in _master(connected, redis, shard, processes, ack_replicas):
                yield finding
        shards = await _shards(connected)
        if shards is not None:
            yield shards


async def _master(
    connected: Masters, redis: Redis, shard: int, processes: Sequence[str], ack_replicas: int
) -> AsyncGenerator[Finding]:
    part = f"redis {address_of(redis)}"
    fault = await fault_of(partial(_ping, redis))
    if fault is not None:
        yield Finding(part, "reach", "wrong", fault.words, _cure_of(fault))
        return
    yield await _clock(part, redis)
    info = await _asked(redis, "INFO")
    if isinstance(info, Exception):
        yield Finding(part, "info", "warning", f"not known: {words_of(info)}", "let this user run INFO")
    else:
        for finding in of_info(part, info, ack_replicas, is_in_cluster=connected.is_cluster):
            yield finding
        yield await _fsync(part, redis, info)
    proof = WorkProof(connected)
    works: dict[str, Callable[[], Awaitable[None]]] = {
        "command-api": partial(proof.of_command_api, shard, ack_replicas),
        "projector": partial(proof.of_projector, shard),
    }
    for process in processes:
        if process in works:
            fault = await fault_of(works[process])
            words = None if fault is None else fault.words
            yield judged(part, f"rights of {process}", words, "it may do its work", _cure_of(fault))


def of_info(part: str, info: Mapping[str, Any], ack_replicas: int, *, is_in_cluster: bool) -> list[Finding]:
    """What INFO tells: version, persistence, eviction, role, memory, replicas."""
    return [
        _version(part, info),
        _persistence(part, info),
        _server(part, info, is_in_cluster=is_in_cluster),
        _memory(part, info),
        _replicas(part, info, ack_replicas),
    ]


def _version(part: str, info: Mapping[str, Any]) -> Finding:
    version = str(info.get("redis_version", ""))
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    valkey = info.get("valkey_version")
    shown = f"Valkey {valkey}" if valkey else f"Redis {version}"
    objection = None if numbers >= OLDEST else f"{shown} is too old"
    return judged(part, "version", objection, shown, "IMC needs Redis 7.0 or newer, or Valkey")


def _persistence(part: str, info: Mapping[str, Any]) -> Finding:
    if is_unsafe(info):
        found = "it keeps no append-only file: its end loses what was acknowledged"
        return Finding(part, "persistence", "warning", found, "set appendonly yes")
    failed = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status")
        if info.get(name, "ok") != "ok"
    ]
    objection = f"{', '.join(failed)}: not ok" if failed else None
    return judged(part, "persistence", objection, "append-only file", "look at its disk and its log")


def _server(part: str, info: Mapping[str, Any], *, is_in_cluster: bool) -> Finding:
    fault = fault_in(info, is_in_cluster=is_in_cluster)
    kind = "a master of a cluster" if is_in_cluster else "a master"
    found = f"{kind}; maxmemory-policy {info.get('maxmemory_policy', 'not known')}"
    cure = "set maxmemory-policy noeviction" if fault and "evict" in fault.words else ""
    return judged(part, "server", fault and fault.words, found, cure)


def _memory(part: str, info: Mapping[str, Any]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if not most:
        return Finding(part, "memory", "ok", f"{_mib(used)} used, no limit (maxmemory)")
    found = f"{_mib(used)} of {_mib(most)} used"
    if used > FULL * most:
        return Finding(part, "memory", "warning", found, "sends fail when it is full: give it more memory")
    return Finding(part, "memory", "ok", found)


def _replicas(part: str, info: Mapping[str, Any], ack_replicas: int) -> Finding:
    count = int(info.get("connected_slaves", 0))
    objection = None
    if count < ack_replicas:
        objection = f"{count} replicas, but sends wait for {ack_replicas} (IMC_ACK_REPLICAS): they get 500"
    return judged(part, "replicas", objection, f"{count} connected", "start replicas, or wait for fewer")


async def _fsync(part: str, redis: Redis, info: Mapping[str, Any]) -> Finding:
    reply = await _asked(redis, "CONFIG GET", "appendfsync")
    if isinstance(reply, Exception) or not reply or is_unsafe(info):
        return Finding(part, "fsync", "ok", "not known to this user")
    policy = _text(next(iter(cast("Mapping[Any, Any]", reply).values())))
    if policy == "no":
        return Finding(part, "fsync", "warning", "appendfsync no", "set appendfsync everysec, or always")
    return Finding(part, "fsync", "ok", f"appendfsync {policy}")


async def _clock(part: str, redis: Redis) -> Finding:
    before = time.time()
    reply = await _asked(redis, "TIME")
    if isinstance(reply, Exception):
        return Finding(part, "clock", "warning", f"not known: {words_of(reply)}", "let this user run TIME")
    seconds, micros = map(int, cast("Sequence[Any]", reply))
    away = (seconds + micros / 1e6) - (before + time.time()) / 2
    found = f"{away:+.2f} s against this machine"
    cure = "let both follow an NTP server"
    if abs(away) > CLOCK_TO_WATCH:
        return Finding(part, "clock", "wrong" if abs(away) > CLOCK_SECONDS else "warning", found, cure)
    return Finding(part, "clock", "ok", found)


def _coverage(connected: Masters, count: int) -> Finding:
    uncovered = connected.uncovered()
    objection = f"{uncovered} slots have no master" if uncovered else None
    return judged("redis", "cluster", objection, f"{count} masters, all slots", "start their masters")


async def _shards(connected: Masters) -> Finding | None:
    try:
        count = await connected.run(names.SHARD_COUNT, lambda redis: _get(redis, names.SHARD_COUNT))
    except (RedisError, OSError):
        return None  # told of its master
    if count is None:
        return Finding("redis", "shards", "ok", "empty: no installation has used it")
    return judged("redis", "shards", objection_to(int(count)), f"{int(count)} shards")


async def _sentinel(place: redis_url.Place, address: redis_url.Address) -> Finding:
    """Which master a sentinel names, asked as processes ask."""
    redis = client.connect(place.sentinel_url(address), reply_seconds=_SENTINEL_SECONDS)
    part, cure = (
        f"sentinel {address_of(redis)}",
        "start it, or take it out of IMC_REDIS_URL; is the service right?",
    )
    async with aclosing(SentinelService(place.service, [redis])) as service:
        try:
            host, port = await service.master()
        except NotConnected as error:
            return Finding(part, "master", "wrong", words_of(error), cure)
    return Finding(part, "master", "ok", f"it names {host}:{port}")


async def _asked(redis: Redis, *command: str) -> Any:
    """The reply to a command, or the error that it has met."""
    try:
        return await cast(Any, redis).execute_command(*command)
    except (RedisError, OSError) as error:
        return error


async def _ping(redis: Redis) -> None:
    await cast(Any, redis).execute_command("TIME")


async def _get(redis: Redis, key: str) -> Any:
    return await cast(Any, redis).get(key)


def _cure_of(fault: MasterFault | None) -> str:
    words = "" if fault is None else fault.words
    return next((cure for code, cure in _CURES.items() if code in words), "")


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
