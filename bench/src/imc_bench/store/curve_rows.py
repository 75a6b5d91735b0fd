"""Curve: latency of history reads over the size of the table."""

import uvloop

from imc_bench.processes import measured
from imc_bench.rounds import alternate, spread
from imc_bench.rows import Curve, Result, Scale, Spread
from imc_bench.store.archive import archive
from imc_bench.store.history import history, warm
from imc_bench.store.latency import Readers
from imc_bench.store.queries import AFTER, ANY_GROUP, BEFORE, DEEP, FIRST, USER

KINDS = [FIRST, DEEP, BEFORE, AFTER, ANY_GROUP, USER]
SHORT_ROWS = (100_000, 300_000, 1_000_000)
FULL_ROWS = (100_000, 1_000_000, 10_000_000)


def measure(scale: Scale) -> list[Result]:
    """Measure the median latency of each kind of query, on tables of several sizes."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    lines: dict[str, dict[float, Spread]] = {kind.name: {} for kind in KINDS}
    checked = 0
    async with archive() as server:
        for rows in FULL_ROWS if scale.name == "full" else SHORT_ROWS:
            stored = await history(server.url, rows)
            await warm(stored)
            async with measured("imc-query-api", {"IMC_DATABASE_URL": stored.url}) as query_api:
                readers = Readers(query_api, stored, KINDS, scale.seconds / 2)
                found = (await alternate({"": readers.measure}, scale.rounds))[""]
                checked += readers.checked
            for kind in KINDS:
                lines[kind.name][rows] = spread(found[f"{kind.name}, p50"], "ms")
    curve = Curve("Reads of history, 20 messages", "messages in the table", "median, ms", lines)
    return [Result("rows", curve.title, {}, checks=[f"{checked:,} replies were correct"], curve=curve)]
