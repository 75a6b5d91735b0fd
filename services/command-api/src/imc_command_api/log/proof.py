"""Proves that Redis does what command-api and the projector need, without changing anything."""

import json
from collections.abc import Sequence

from imc_contracts import names
from imc_service.redis.masters import Masters

Command = tuple[str, ...]

_OF_PRESENCE: Sequence[Command] = (
    ("ZADD", names.PROCESSES, "0", "x"),
    ("ZREM", names.PROCESSES, "x"),
    ("ZREMRANGEBYSCORE", names.PROCESSES, "0", "0"),
)


class WorkProof:
    """Each method raises what redis-py raises if the master of a shard would refuse any of the work."""

    def __init__(self, masters: Masters) -> None:
        self._database = masters.database
        self._script = masters.script("imc_command_api.log", "prove.lua")

    async def of_command_api(self, shard: int, ack_replicas: int = 0) -> None:
        """Prove that events can be appended, and waited for if replicas have to acknowledge them."""
        commands = [*_of_command_api(shard, self._database), *_of_waiting(ack_replicas)]
        log = names.log(names.no_app(shard))
        await self._prove(log, commands, ("XADD", log, "NOMKSTREAM", "*", "k", "v"))

    async def of_projector(self, shard: int, ack_replicas: int = 0) -> None:
        """Prove that entries can be read and positions moved, and replicas be waited for if that is needed.

        This works even if Redis is full.
        """
        commands = [*_of_projector(shard), *_of_waiting(ack_replicas)]
        pending = names.pending(shard)
        await self._prove(pending, commands, ("ZREM", pending, names.no_app(shard)))

    async def _prove(self, key: str, commands: Sequence[Command], write: Command) -> None:
        await self._script([key], [json.dumps(commands), json.dumps(write)])


def _of_waiting(ack_replicas: int) -> list[Command]:
    return [("WAIT", "0", "1")] if ack_replicas else []


def _of_all(shard: int) -> list[Command]:
    app_id = names.no_app(shard)
    log, state = names.log(app_id), names.log_state(app_id)
    return [
        ("TIME",),
        ("SCRIPT", "LOAD", "return 1"),
        ("GET", names.SHARD_COUNT),
        ("SET", names.SHARD_COUNT, "0", "NX"),
        ("XRANGE", log, "-", "+"),
        ("HMGET", state, "last"),
        ("HSET", state, "last", "0-0"),
        ("ZADD", names.pending(shard), "0", app_id),
        ("ZADD", names.apps(shard), "0", app_id),
    ]


def _of_command_api(shard: int, database: int) -> list[Command]:
    app_id = names.no_app(shard)
    log, recent = names.log(app_id), names.recent(shard, 0)
    quota, sent = names.send_quota(app_id), names.sent(app_id, "x")
    buckets = (names.NEW_APPS, quota, sent)
    return [
        *_of_all(shard),
        ("HGET", names.WORKERS, "0"),
        ("HSET", names.WORKERS, "0", "x"),
        *(("XADD", log, "*", "k", "v"), ("XINFO", "STREAM", log)),
        ("XADD", names.changes(shard), "*", "a", app_id),
        ("ZADD", names.recalled(app_id), "0", "x"),
        *((command, key, *value) for key in buckets for command, *value in (("GET",), ("SET", "0"))),
        ("HGET", recent, "0"),
        ("HMGET", recent, "0"),
        ("HEXISTS", recent, "0"),
        ("HSET", recent, "0", "0-0"),
        ("PEXPIRE", recent, "1"),
        ("SPUBLISH", names.live(app_id, database), "x"),
        *_of_operations(shard),
    ]


def _of_operations(shard: int) -> list[Command]:
    """What is counted and read for operators."""
    letters = names.dead_letters(names.no_app(shard))
    return [
        *_OF_PRESENCE,
        ("ZREVRANGEBYSCORE", names.PROCESSES, "0", "0"),
        *(
            (command, key, *values)
            for key in (names.all_activity(0), names.activity(shard, 0))
            for command, *values in (("HGETALL",), ("HMGET", "f"), ("HINCRBY", "f", "1"), ("PEXPIRE", "1"))
        ),
        ("ZRANGE", names.apps(shard), "0", "0"),
        ("ZSCORE", names.pending(shard), "x"),
        ("ZLEXCOUNT", names.roster(shard), "-", "+"),
        *(("XLEN", letters), ("XRANGE", letters, "-", "+"), ("XDEL", letters, "0-1")),
    ]


def _of_projector(shard: int) -> list[Command]:
    app_id = names.no_app(shard)
    log, state = names.log(app_id), names.log_state(app_id)
    recalled, letters = names.recalled(app_id), names.dead_letters(app_id)
    owner, pending, apps = names.owner(shard), names.pending(shard), names.apps(shard)
    return [
        *_of_all(shard),
        *(("ZADD", names.PROJECTORS, "0", "x"), ("ZREM", names.PROJECTORS, "x")),
        ("ZREMRANGEBYSCORE", names.PROJECTORS, "0", "0"),
        ("ZRANGE", names.PROJECTORS, "0", "0"),
        *(("GET", owner), ("SET", owner, "x"), ("DEL", owner)),
        *(("EXISTS", pending), ("ZRANGE", pending, "0", "0"), ("ZREM", pending, "x")),
        *(("ZRANGEBYSCORE", apps, "0", "0"), ("ZREM", apps, "x")),
        ("HGET", state, "waiting"),
        *(("XLEN", log), ("XREVRANGE", log, "+", "-"), ("XTRIM", log, "MINID", "0-0")),
        ("ZCARD", names.gateways(app_id)),
        *(("UNLINK", key) for key in (log, state, recalled, names.gateway_fence(app_id))),
        ("ZREMRANGEBYSCORE", recalled, "0", "0"),
        *(("XLEN", letters), ("XADD", letters, "*", "k", "v")),
        *_of_erasing(app_id),
        *_OF_PRESENCE,
        ("HSET", names.all_activity(0), "f", "0"),
        ("PEXPIRE", names.all_activity(0), "1"),
    ]


def _of_erasing(app_id: str) -> list[Command]:
    """How a log and dead letters are replaced by copies without what is erased."""
    log, letters, recalled = names.log(app_id), names.dead_letters(app_id), names.recalled(app_id)
    commands: list[Command] = [
        ("ZMSCORE", recalled, "x"),
        ("ZADD", recalled, "0", "x"),
        ("ZREM", recalled, "x"),
        ("XDEL", letters, "0-1"),
    ]
    for key, copy in ((log, names.log_copy(app_id, 0)), (letters, names.dead_letters_copy(app_id, 0))):
        commands += [
            *(("XLEN", copy), ("XADD", copy, "*", "k", "v"), ("XREVRANGE", copy, "+", "-")),
            *(("PEXPIRE", copy, "1"), ("UNLINK", copy), ("RENAME", copy, key), ("PERSIST", key)),
        ]
    return commands
