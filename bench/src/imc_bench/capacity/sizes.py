"""Row ``sizes``: bytes of memory, disk and network that messages, apps, groups and processes take."""

import secrets
from collections.abc import Mapping
from typing import Any

import orjson
import uvloop
from imc_contracts import names
from imc_contracts.schema import GROUPS, MESSAGES
from imc_testkit import databases
from imc_testkit.processes import Process
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

from imc_bench.cpu import resident_bytes
from imc_bench.http import callers, senders
from imc_bench.http.senders import PATH
from imc_bench.http.stores import Stores, stores
from imc_bench.installation import Installation, installation
from imc_bench.processes import measured, started
from imc_bench.push.imc_relay import imc
from imc_bench.push.publishers import HttpSender
from imc_bench.rows import InvalidRun, Result, Scale, Spread

CONTENTS = (100, 1_600)
"""Bytes of content: a line through both sizes gives the cost of a message and of a byte."""

BETWEEN = 400
"""A size between them, to compare with the line."""

APPS = 20
"""Apps whose rows go into the database by turns, so that its pages fill as those of many apps do."""

ROWS_PER_GROUP = 20
USERS = 4_000
BATCH = 500
_PROJECTION_SECONDS = 300.0
_COUNT = f"SELECT COUNT(*) FROM {MESSAGES}"  # noqa: S608 - a constant


def measure(scale: Scale) -> list[Result]:
    """Measure sizes with messages of both lengths."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with installation() as installed:
        figures = await _in_redis(installed, scale.of(5_000, 40_000), scale.of(200, 900))
        figures["a push, beside its content"] = float((await imc(installed)).overhead)
        figures |= _memory(
            {
                "imc-command-api": installed.deployment.command_apis[0],
                "imc-push-node": installed.deployment.push_nodes[0],
            }
        )
    async with stores() as servers:
        figures |= await _in_database(servers, scale.of(20_000, 200_000))
    request = callers.post(PATH, _body([_message("demo", 0, 100)], one=True))
    figures["a request, beside its content"] = float(len(request) - 100)
    return Result(
        "sizes",
        "bytes of a message, an app, a group and a process",
        {name: Spread(value, value, value, "bytes") for name, value in figures.items()},
        checks=["all messages are in the log, or in the database"],
    )


async def _in_redis(installed: Installation, messages: int, apps: int) -> dict[str, float]:
    redis: Any
    async with Redis.from_url(installed.redis_url) as redis:  # pyright: ignore
        http = HttpSender(installed.deployment.command_apis[0].port)
        plain = [await _log_bytes(redis, http, messages, size, bears_id=False) for size in CONTENTS]
        between = await _log_bytes(redis, http, messages, BETWEEN, bears_id=False)
        bearing = await _log_bytes(redis, http, messages, CONTENTS[0], bears_id=True)
        each, byte = _line(plain)
        await redis.flushall()
        before = await _used(redis)
        for number in range(apps):
            app_id = f"app-{number:06}"
            await http.post(PATH, _body([_message(app_id, number, CONTENTS[0])], one=True))
        app = (await _used(redis) - before) / apps - plain[0]
        http.close()
    return {
        "Redis: a message, beside its content": each,
        "Redis: a byte of content": byte,
        f"Redis: a message of {BETWEEN}": between,
        "Redis: a clientMessageId": bearing - plain[0],
        "Redis: an app": app,
    }


async def _log_bytes(redis: Any, http: HttpSender, messages: int, size: int, *, bears_id: bool) -> float:
    """Bytes of Redis' memory a message, in the log of one app."""
    app_id = senders.new_app()
    await redis.flushall()
    before = await _used(redis)
    for first in range(0, messages, BATCH):
        some = [_message(app_id, first + place, size, bears_id=bears_id) for place in range(BATCH)]
        await http.post(senders.BATCH_PATH, _body(some))
    used = await _used(redis) - before
    if await redis.xlen(names.log(app_id)) != messages:
        raise InvalidRun(f"{messages} messages were sent, the log has another number")
    return used / messages


async def _used(redis: Any) -> float:
    """The memory that the keys take: without the buffers of connections."""
    memory = await redis.info("memory")
    return float(memory["used_memory_dataset"])


async def _in_database(servers: Stores, rows: int) -> dict[str, float]:
    sizes: dict[int, float] = {}
    group = 0.0
    async with (
        measured("imc-command-api", servers.env) as command_api,
        started("imc-projector", servers.env) as projector,
        measured("imc-query-api", servers.env) as query_api,
    ):
        for size in (*CONTENTS, BETWEEN):
            await databases.run(servers.database_url, f"TRUNCATE {MESSAGES}", f"TRUNCATE {GROUPS}")
            await _store(servers, command_api, rows, size)
            sizes[size] = await _table_bytes(servers, MESSAGES) / rows
            group = await _table_bytes(servers, GROUPS) / (rows // ROWS_PER_GROUP)
        memory = _memory({"imc-projector": projector, "imc-query-api": query_api})
    each, byte = _line([sizes[size] for size in CONTENTS])
    return {
        "database: a message, beside its content": each,
        "database: a byte of content": byte,
        f"database: a message of {BETWEEN}": sizes[BETWEEN],
        "database: a group": group,
        **memory,
    }


async def _store(servers: Stores, command_api: Process, rows: int, size: int) -> None:
    """Send ``rows`` messages of many apps and groups, and wait until they are in the database."""
    http = HttpSender(command_api.port)
    apps = [f"app-{secrets.token_hex(4)}" for _ in range(APPS)]
    for turn, first in enumerate(range(0, rows, BATCH)):
        some = [_message(apps[turn % APPS], first + place, size) for place in range(BATCH)]
        await http.post(senders.BATCH_PATH, _body(some))
    http.close()

    async def are_stored() -> bool:
        [(count,)] = await databases.run(servers.database_url, _COUNT)
        return int(count) == rows

    await wait_until(are_stored, _PROJECTION_SECONDS, 0.2, what="all rows")


async def _table_bytes(servers: Stores, table: str) -> float:
    """Bytes of a table with its indexes."""
    [(size,)] = await databases.run(
        servers.database_url,
        f"ANALYZE TABLE {table}",
        "SELECT data_length + index_length FROM information_schema.tables "  # noqa: S608
        f"WHERE table_schema = DATABASE() AND table_name = '{table}'",
    )
    return float(size)


def _memory(processes: Mapping[str, Process]) -> dict[str, float]:
    """The memory of processes that have done some work."""
    return {f"memory of {name}": float(resident_bytes(each.pid)) for name, each in processes.items()}


def _line(sizes: list[float]) -> tuple[float, float]:
    """What a message takes beside its content, and each byte of it, from the sizes at `CONTENTS`."""
    byte = (sizes[1] - sizes[0]) / (CONTENTS[1] - CONTENTS[0])
    return sizes[0] - CONTENTS[0] * byte, byte


def _message(app_id: str, number: int, size: int, *, bears_id: bool = False) -> dict[str, str]:
    message = {
        "appId": app_id,
        "groupId": f"group-{number // ROWS_PER_GROUP}",
        "userId": f"user-{number * 7919 % USERS}",
        "content": f"{number} ".ljust(size, "x"),
    }
    return {**message, "clientMessageId": f"client-{number:012}"} if bears_id else message


def _body(messages: list[dict[str, str]], *, one: bool = False) -> bytes:
    return orjson.dumps(messages[0] if one else {"messages": messages})
