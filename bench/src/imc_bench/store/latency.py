"""Latency of history queries in query-api, with one caller, so that requests do not queue."""

import itertools
from collections.abc import Mapping

from imc_testkit.processes import Process

from imc_bench.http import callers
from imc_bench.rounds import percentile
from imc_bench.store import plans, queries
from imc_bench.store.history import History
from imc_bench.store.queries import QueryKind


class Readers:
    """Queries the history in a query-api, and checks every reply."""

    def __init__(self, process: Process, stored: History, kinds: list[QueryKind], seconds: float) -> None:
        self._process = process
        self._stored = stored
        self._kinds = kinds
        self._seconds = seconds
        self._seed = 0
        self.checked = 0

    async def measure(self) -> Mapping[str, float]:
        """Measure p50 and p99 of each kind of query, in milliseconds."""
        figures: dict[str, float] = {}
        for kind in self._kinds:
            latencies = await self._query(kind, self._seconds)
            figures[f"{kind.name}, p50"] = percentile(latencies, 0.5) * 1000
            figures[f"{kind.name}, p99"] = percentile(latencies, 0.99) * 1000
        return figures

    async def explain(self) -> str:
        """Check the plans of one query of each kind; return what was verified. Raises `InvalidRun`."""

        async def query_each() -> None:
            for kind in self._kinds:
                await self._query(kind, 0)

        return await plans.check(self._stored.url, query_each)

    async def _query(self, kind: QueryKind, seconds: float) -> list[float]:
        self._seed += 1
        made, again = itertools.tee(kind.queries(self._stored, self._seed))
        calls = await callers.call(self._process.url, 1, seconds, lambda _: (each.request for each in made))
        for reply in calls.replies[0]:
            queries.check(next(again), reply)
        self.checked += calls.count
        return calls.all_latencies
