"""Row 6: reads of a long history, compared with those of a short one."""

import contextlib
from collections.abc import Mapping

import uvloop

from imc_bench.processes import measured
from imc_bench.rounds import alternate, spread
from imc_bench.rows import Result, Scale, Spread
from imc_bench.store.archive import archive
from imc_bench.store.history import history, warm
from imc_bench.store.latency import Readers
from imc_bench.store.queries import AFTER, BEFORE, DEEP, FIRST, NEWEST

SMALL = 100_000
KINDS = [NEWEST, FIRST, DEEP, BEFORE, AFTER]
MAX_RATIO = 1.2


def measure(scale: Scale) -> list[Result]:
    """Measure the p99 of each kind of query, on the small table and the large table in turn."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    large = scale.of(1_000_000, 10_000_000)
    async with archive() as server, contextlib.AsyncExitStack() as stack:
        readers: dict[int, Readers] = {}
        for rows in (SMALL, large):
            stored = await history(server.url, rows)
            await warm(stored)
            query_api = await stack.enter_async_context(
                measured("imc-query-api", {"IMC_DATABASE_URL": stored.url})
            )
            readers[rows] = Readers(query_api, stored, KINDS, scale.seconds)
        found = await alternate({f"{rows:,}": each.measure for rows, each in readers.items()}, scale.rounds)
        plan = await readers[large].explain()
    checks = [f"{sum(each.checked for each in readers.values()):,} replies were correct", plan]
    return [_result(found, large, checks)]


def _result(found: Mapping[str, Mapping[str, list[float]]], large: int, checks: list[str]) -> Result:
    figures: dict[str, Spread] = {}
    ratios: list[float] = []
    for kind in KINDS:
        of_kind = {rows: spread(each[f"{kind.name}, p99"], "ms") for rows, each in found.items()}
        figures |= {f"{kind.name} of {rows}": figure for rows, figure in of_kind.items()}
        ratios.append(of_kind[f"{large:,}"].median / of_kind[f"{SMALL:,}"].median)
    name = f"p99 of reads of history, {large:,} rows beside {SMALL:,}"
    return Result(
        "6",
        name,
        figures,
        f"≤ {MAX_RATIO:g} × that of {SMALL:,}, in each kind",
        max(ratios),
        max(ratios) <= MAX_RATIO,
        checks,
        shown=len(figures),
    )
