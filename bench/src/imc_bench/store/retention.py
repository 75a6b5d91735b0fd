"""Row ``retention``: p99 of reads of a long history, while old rows of another app are removed beside it."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import uvloop
from imc_contracts.schema import GROUPS, MESSAGES
from imc_testkit import databases
from imc_testkit.policies import FileOfApps, policies_text
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until

from imc_bench.processes import measured
from imc_bench.rounds import alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale, Spread
from imc_bench.store.archive import archive
from imc_bench.store.history import APP, History, history, warm
from imc_bench.store.latency import Readers
from imc_bench.store.queries import AFTER, BEFORE, DEEP, FIRST, NEWEST

KINDS = [NEWEST, FIRST, DEEP, BEFORE, AFTER]
MAX_RATIO = 1.2
OLD_APP = "old"
OLD_GROUPS = 1_000

CALM_SECONDS = 1.0
"""A sweep that has ended removes nothing for so long."""

_REMOVE_ALL = tuple(f"DELETE FROM {table} WHERE app_id = '{OLD_APP}'" for table in (MESSAGES, GROUPS))  # noqa: S608
_COPY = f"""
    INSERT INTO {MESSAGES}
    SELECT
        message_id, '{OLD_APP}', CONCAT('g', message_id % {OLD_GROUPS}), user_id, content, create_time,
        recall_time, recall_cause, status, type, log_id, last_log_id
    FROM {MESSAGES} WHERE app_id = '{APP}' ORDER BY message_id LIMIT {{rows}}
"""  # noqa: S608 - constants
_COUNT = f"""
    INSERT INTO {GROUPS}
    SELECT app_id, group_id, COUNT(*), MAX(message_id), MAX(create_time)
    FROM {MESSAGES} WHERE app_id = '{OLD_APP}' GROUP BY app_id, group_id
"""  # noqa: S608 - constants
_LEFT = f"SELECT SUM(message_total) FROM {GROUPS} WHERE app_id = '{OLD_APP}'"  # noqa: S608 - constants


def measure(scale: Scale) -> list[Result]:
    """Measure the p99 of each kind of query, with and without a sweep at work, in turn."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    rows, old_rows = scale.of(100_000, 10_000_000), scale.of(100_000, 1_000_000)
    async with archive() as server:
        stored = await history(server.url, rows)
        await databases.run(stored.url, *_REMOVE_ALL, _COPY.format(rows=old_rows), _COUNT)
        await warm(stored)
        async with _sweep_on(stored) as sweep:
            query_api = await sweep.enter(measured("imc-query-api", {"IMC_DATABASE_URL": stored.url}))
            readers = Readers(query_api, stored, KINDS, scale.seconds)

            async def beside_sweep() -> Mapping[str, float]:
                await sweep.begin()
                figures = await readers.measure()
                await sweep.end()
                return figures

            found = await alternate({"alone": readers.measure, "beside a sweep": beside_sweep}, scale.rounds)
        await databases.run(stored.url, *_REMOVE_ALL)
    checks = [f"{readers.checked:,} replies were correct", f"{sweep.removed:,} rows were removed meanwhile"]
    return _result(found, rows, checks)


class _Sweep:
    """A sweep that begins and ends when it is told to: the file of apps says what is to be removed."""

    def __init__(self, url: str, file: FileOfApps, stack: contextlib.AsyncExitStack) -> None:
        self.enter = stack.enter_async_context
        self.removed = 0
        self._url = url
        self._file = file
        self._left = 0

    async def begin(self) -> None:
        """Let it begin, and wait until rows go."""
        self._left = before = await self._count()
        self._file.write(policies_text({OLD_APP: {"retention_days": 1}}))

        async def has_begun() -> bool:
            return await self._count() < before

        await wait_until(has_begun)

    async def end(self) -> None:
        """Stop it, and wait until no more rows go. Raises `InvalidRun` if there were too few of them."""
        left = await self._count()
        self._file.write("")
        if not left:
            raise InvalidRun("all old rows were gone before the queries were measured")
        before = -1
        while before != left:
            before = left
            await asyncio.sleep(CALM_SECONDS)
            left = await self._count()
        self.removed += self._left - left

    async def _count(self) -> int:
        return int((await databases.run(self._url, _LEFT))[0][0] or 0)


@contextlib.asynccontextmanager
async def _sweep_on(stored: History) -> AsyncGenerator[_Sweep]:
    async with contextlib.AsyncExitStack() as stack:
        file = FileOfApps(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "apps.toml")
        redis = await stack.enter_async_context(private_redis())
        env = {
            "IMC_REDIS_URL": redis.url,
            "IMC_DATABASE_URL": stored.url,
            "IMC_APPS_FILE": str(file.path),
            "IMC_SWEEP_SECONDS": "1",
        }
        await stack.enter_async_context(measured("imc-projector", env))
        yield _Sweep(stored.url, file, stack)


def _result(found: Mapping[str, Mapping[str, list[float]]], rows: int, checks: list[str]) -> Result:
    figures: dict[str, Spread] = {}
    ratios: list[float] = []
    for kind in KINDS:
        p99 = {name: spread(each[f"{kind.name}, p99"], "ms") for name, each in found.items()}
        figures |= {f"{kind.name}, {name}": figure for name, figure in p99.items()}
        ratios.append(p99["beside a sweep"].median / p99["alone"].median)
    return Result(
        "retention",
        f"p99 of reads of history, {rows:,} rows, while old rows of another app are removed",
        figures,
        f"≤ {MAX_RATIO:g} × that without, in each kind",
        max(ratios),
        max(ratios) <= MAX_RATIO,
        checks,
        shown=len(figures),
    )
