"""Proves that Redis does what command-api and the projector need, without changing anything."""

import json
from collections.abc import Sequence

from imc_contracts import names
from imc_service.redis.client import database_of, script_in
from redis.asyncio import Redis

Command = tuple[str, ...]

_LOG, _STATE = names.log(names.NO_APP), names.log_state(names.NO_APP)
_RECALLED, _LETTERS = names.recalled(names.NO_APP), names.dead_letters(names.NO_APP)
_QUOTA, _SENT = names.send_quota(names.NO_APP), names.sent(names.NO_APP, "x")
_RECENT = names.recent(names.NO_APP, 0)
_GROUP = names.PROJECTOR_GROUP

_OF_ALL: list[Command] = [
    ("TIME",),
    ("SCRIPT", "LOAD", "return 1"),
    ("SMEMBERS", names.APPS),
    ("XRANGE", _LOG, "-", "+"),
    ("XGROUP", "CREATE", _LOG, _GROUP, "0"),
    ("HMGET", _STATE, "last"),
    ("HSET", _STATE, "last", "0-0"),
]

_OF_COMMAND_API: list[Command] = [
    *_OF_ALL,
    ("SADD", names.APPS, "x"),
    ("SISMEMBER", names.APPS, "x"),
    ("GET", names.NEW_APPS),
    ("SET", names.NEW_APPS, "0"),
    ("HGET", names.WORKERS, "0"),
    ("HSET", names.WORKERS, "0", "x"),
    ("XADD", _LOG, "*", "k", "v"),
    ("HSETNX", _STATE, "born", "0-0"),
    ("HINCRBY", _STATE, "appended", "0"),
    ("ZADD", _RECALLED, "0", "x"),
    *((command, key, *value) for key in (_QUOTA, _SENT) for command, *value in (("GET",), ("SET", "0"))),
    ("HGET", _RECENT, "0"),
    ("HEXISTS", _RECENT, "0"),
    ("HSET", _RECENT, "0", "0-0"),
    ("PEXPIRE", _RECENT, "1"),
]

_OF_PROJECTOR: list[Command] = [
    *_OF_ALL,
    ("XREADGROUP", "GROUP", _GROUP, "x", "STREAMS", _LOG, ">"),
    ("XAUTOCLAIM", _LOG, _GROUP, "x", "0", "0-0"),
    ("XACK", _LOG, _GROUP, "0-0"),
    ("XPENDING", _LOG, _GROUP),
    ("XINFO", "GROUPS", _LOG),
    ("XINFO", "CONSUMERS", _LOG, _GROUP),
    ("XGROUP", "DELCONSUMER", _LOG, _GROUP, "x"),
    ("XLEN", _LOG),
    ("XREVRANGE", _LOG, "+", "-"),
    ("XTRIM", _LOG, "MINID", "0-0"),
    ("SREM", names.APPS, "x"),
    ("ZCARD", names.gateways(names.NO_APP)),
    *(("UNLINK", key) for key in (_LOG, _STATE, _RECALLED, names.gateway_fence(names.NO_APP))),
    ("XLEN", _LETTERS),
    ("ZREMRANGEBYSCORE", _RECALLED, "0", "0"),
    ("XADD", _LETTERS, "*", "k", "v"),
]


class WorkProof:
    """Each method raises what redis-py raises if Redis would refuse any of the work."""

    def __init__(self, redis: Redis) -> None:
        self._script = script_in(redis, "imc_command_api.log", "prove.lua")
        self._publish = ("PUBLISH", names.live(names.NO_APP, database_of(redis)), "x")

    async def of_command_api(self) -> None:
        """Prove that events can be appended."""
        await self._prove([*_OF_COMMAND_API, self._publish], ("XADD", _LOG, "NOMKSTREAM", "*", "k", "v"))

    async def of_projector(self) -> None:
        """Prove that entries can be read and acknowledged. This works even if Redis is full."""
        await self._prove(_OF_PROJECTOR, ("XACK", _LOG, _GROUP, "0-0"))

    async def _prove(self, commands: Sequence[Command], write: Command) -> None:
        await self._script(keys=[_LOG], args=[json.dumps(commands), json.dumps(write)])
