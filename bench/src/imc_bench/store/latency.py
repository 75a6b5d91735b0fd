"""How long query-api takes for questions of a history: one caller, so that nothing waits for another."""

import itertools
from collections.abc import Mapping

from imc_testkit.processes import Process

from imc_bench.http import callers
from imc_bench.rounds import percentile
from imc_bench.store import plans, questions
from imc_bench.store.history import History
from imc_bench.store.questions import Question


class Readers:
    """Asks a query-api about its history, and checks every answer."""

    def __init__(self, process: Process, stored: History, kinds: list[Question], seconds: float) -> None:
        self._process = process
        self._stored = stored
        self._kinds = kinds
        self._seconds = seconds
        self._seed = 0
        self.checked = 0

    async def measure(self) -> Mapping[str, float]:
        """Milliseconds of each kind of question, p50 and p99 of all asked in the given seconds."""
        figures: dict[str, float] = {}
        for kind in self._kinds:
            latencies = await self._ask(kind, self._seconds)
            figures[f"{kind.name}, p50"] = percentile(latencies, 0.5) * 1000
            figures[f"{kind.name}, p99"] = percentile(latencies, 0.99) * 1000
        return figures

    async def explain(self) -> str:
        """What was verified of the plans of one question of each kind; raises `Faulty`."""

        async def ask() -> None:
            for kind in self._kinds:
                await self._ask(kind, 0)

        return await plans.check(self._stored.url, ask)

    async def _ask(self, kind: Question, seconds: float) -> list[float]:
        self._seed += 1
        asked, again = itertools.tee(kind.asked(self._stored, self._seed))
        calls = await callers.call(self._process.url, 1, seconds, lambda _: (each.request for each in asked))
        for reply in calls.replies[0]:
            questions.check(next(again), reply)
        self.checked += calls.count
        return calls.all_latencies
