"""Row 5: rows per second of the projector, compared with bare inserts of the same rows."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import uvloop
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_contracts.schema import GROUPS, LOG_COLUMNS, MESSAGE_VIEW_COLUMNS, MESSAGES
from imc_testkit import databases
from imc_testkit.processes import Process
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

from imc_bench import cores
from imc_bench.cpu import cpu_seconds
from imc_bench.http import senders
from imc_bench.http.log_check import Acknowledged
from imc_bench.http.stores import Stores, stores
from imc_bench.processes import started
from imc_bench.rounds import alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale

SHARE_OF_RAW = 0.8
MICROSECONDS = 30.0
"""The most CPU time that the projector may use for a row."""

_TRANSACTION_ROWS = 1_000
_TIMEOUT_SECONDS = 120.0
_COLUMNS = ", ".join((*MESSAGE_VIEW_COLUMNS, *LOG_COLUMNS))
_SELECT = f"SELECT {_COLUMNS} FROM {MESSAGES} ORDER BY log_id"  # noqa: S608 - constants
_INSERT = f"INSERT INTO {MESSAGES} ({_COLUMNS}) VALUES ({', '.join(['%s'] * (_COLUMNS.count(',') + 1))})"  # noqa: S608


def measure(scale: Scale) -> list[Result]:
    """Measure rows per second of the projector and of one bare connection in turn, into empty tables."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stores())
        redis = await stack.enter_async_context(Redis.from_url(servers.redis_url))  # pyright: ignore
        command_api = await stack.enter_async_context(Process("imc-command-api", servers.env))
        await command_api.ready()
        rounds = _Rounds(servers, redis, command_api.url, scale.of(20_000, 200_000))
        found = await alternate({"projector": rounds.project, "bare": rounds.insert}, scale.rounds)
    return [_result(found, rounds)]


class _Rounds:
    """Fills a log and lets it be projected; then inserts the same rows directly."""

    def __init__(self, servers: Stores, redis: Redis, url: str, rows: int) -> None:
        self._servers = servers
        self._redis = redis
        self._url = url
        self._rows = rows
        self._projected: Sequence[Any] = []
        self.checked = 0

    async def project(self) -> Mapping[str, float]:
        app_id = senders.new_app()
        sent = await senders.fill(self._url, app_id, self._rows)
        await self._empty()
        async with started("imc-projector", self._servers.env) as projector:
            figures = await self._follow(app_id, projector.pid)
        self._projected = await databases.run(self._servers.database_url, _SELECT)
        self._check(sent)
        await senders.forget(self._redis, app_id)
        return figures

    async def insert(self) -> Mapping[str, float]:
        await self._empty()
        cores.pin(os.getpid(), cores.choose().server)
        try:
            async with (
                databases.connect(self._servers.database_url) as connection,
                connection.cursor() as cursor,
            ):
                begun, used = time.perf_counter(), self._used(os.getpid())
                for start in range(0, len(self._projected), _TRANSACTION_ROWS):
                    await connection.begin()
                    await cursor.executemany(_INSERT, self._projected[start : start + _TRANSACTION_ROWS])
                    await connection.commit()
                return _figures(len(self._projected), begun, used, self._used(os.getpid()))
        finally:
            cores.pin(os.getpid(), cores.choose().load)

    async def _follow(self, app_id: str, pid: int) -> Mapping[str, float]:
        """Measure from the first transaction to the last, without the start of the process (row 12)."""

        async def count() -> int:
            waiting = await self._redis.hget(names.log_state(app_id), "waiting")  # pyright: ignore
            return self._rows - int(waiting or 0)

        first = await wait_until(count, _TIMEOUT_SECONDS, 0.001, what="the first rows")
        begun, used = time.perf_counter(), self._used(pid)

        async def is_done() -> bool:
            return await count() >= self._rows

        await wait_until(is_done, _TIMEOUT_SECONDS, 0.002, what="all rows")
        return _figures(self._rows - first, begun, used, self._used(pid))

    async def _empty(self) -> None:
        await databases.run(
            self._servers.database_url, *(f"TRUNCATE TABLE {each}" for each in (MESSAGES, GROUPS))
        )

    def _used(self, pid: int) -> tuple[float, float]:
        return cpu_seconds(pid), cpu_seconds(self._servers.mariadb_pid)

    def _check(self, sent: Sequence[Sequence[Acknowledged]]) -> None:
        acknowledged = {each.message_id: each for of_sender in sent for each in of_sender}
        held = {str(row[0]): row for row in self._projected}
        if held.keys() != acknowledged.keys() or len(self._projected) != len(held):
            raise InvalidRun(
                f"{len(acknowledged)} messages were acknowledged, {len(self._projected)} rows are there"
            )
        for message_id, row in held.items():
            sent_as = acknowledged[message_id]
            if (row[4], row[-2]) != (sent_as.content, EntryId.parse(sent_as.entry).column):
                raise InvalidRun(f"row {message_id} is not what was sent")
        self.checked += len(held)


def _figures(
    rows: int, begun: float, before: tuple[float, float], after: tuple[float, float]
) -> dict[str, float]:
    seconds = time.perf_counter() - begun
    return {
        "rows/s": rows / seconds,
        "client": (after[0] - before[0]) / rows * 1e6,
        "MariaDB": (after[1] - before[1]) / rows * 1e6,
    }


def _result(found: Mapping[str, Mapping[str, list[float]]], rounds: _Rounds) -> Result:
    figures = {who: spread(each["rows/s"], "rows/s") for who, each in found.items()}
    ratio = figures["projector"].median / figures["bare"].median
    for name in ("client", "MariaDB"):
        figures |= {f"{who}, CPU of {name}": spread(each[name], "µs/row") for who, each in found.items()}
    used = figures["projector, CPU of client"].median
    return Result(
        "5",
        "projector into the real table, beside bare inserts of 1,000 rows, one connection each",
        figures,
        f"≥ {SHARE_OF_RAW:g} × bare, CPU of the projector ≤ {MICROSECONDS:g} µs a row",
        ratio,
        ratio >= SHARE_OF_RAW and used <= MICROSECONDS,
        [f"{rounds.checked:,} acknowledged messages have one row each, unchanged, with the right log id"],
        shown=2,
    )
