"""Row 7: pages of 20 messages per CPU-second of query-api, compared with a plain FastAPI application."""

from collections.abc import Mapping
from random import Random
from typing import Any

import orjson
import uvloop
from imc_testkit.processes import Process

from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers
from imc_bench.processes import measured, peer
from imc_bench.rounds import alternate, percentile, spread
from imc_bench.rows import InvalidRun, Result, Scale
from imc_bench.store.archive import archive
from imc_bench.store.history import APP, History, history, warm

ROWS = 100_000
CALLERS = 16
REQUESTS = 1_000
PAGES = 5
SIZE = 20
TIMES_PLAIN = 5.0


def measure(scale: Scale) -> list[Result]:
    """Measure reads per CPU-second of both, in turn, with the same pages."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with archive() as server:
        stored = await history(server.url, ROWS)
        await warm(stored)
        async with (
            measured("imc-query-api", {"IMC_DATABASE_URL": stored.url}) as imc,
            peer(
                "imc_bench.peers.plain.application:create_app",
                {"REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": stored.url},
                "--factory",
            ) as plain,
        ):
            readers = _Readers(targets(stored), scale.seconds)
            found = await alternate(
                {"IMC": lambda: readers.read(imc), "plain": lambda: readers.read(plain)}, scale.rounds
            )
    return [_result(found, readers.check())]


def targets(stored: History) -> list[str]:
    """The requests: one of the first pages of a random group each."""
    chance = Random(7)  # noqa: S311 - repeatable, not secret
    path = f"/chat/message/findByGroupId?appId={APP}&pageSize={SIZE}"
    return [
        f"{path}&groupId=group-{chance.randrange(stored.groups)}&pageNum={chance.randrange(PAGES) + 1}"
        for _ in range(REQUESTS)
    ]


class _Readers:
    """Callers that read the same pages, each starting at a different one."""

    def __init__(self, targets: list[str], seconds: float) -> None:
        self._targets = targets
        self._requests = [callers.get(target) for target in targets]
        self._seconds = seconds
        self._pages: dict[str, Any] = {}
        self._reads = 0

    async def read(self, process: Process) -> Mapping[str, float]:
        used = cpu_seconds(process.pid)
        calls = await callers.call(process.url, CALLERS, self._seconds, self._requests_of)
        used = cpu_seconds(process.pid) - used
        for caller, replies in enumerate(calls.replies):
            for number, reply in enumerate(replies):
                self._compare(self._targets[(self._first(caller) + number) % REQUESTS], reply)
        latencies = calls.all_latencies
        return {
            "a CPU-second": calls.count / used,
            "core used": used / calls.seconds,
            "p99": percentile(latencies, 0.99) * 1000,
        }

    def check(self) -> str:
        """What was verified."""
        return f"{self._reads:,} pages were the same from both, whole, in order"

    def _requests_of(self, caller: int) -> Any:
        first = self._first(caller)
        return callers.endless(self._requests[first:] + self._requests[:first])

    def _first(self, caller: int) -> int:
        return caller * REQUESTS // CALLERS

    def _compare(self, target: str, reply: bytes) -> None:
        page = orjson.loads(reply)
        page = page.get("data", page)
        if self._pages.setdefault(target, page) != page:
            raise InvalidRun(f"the two returned different pages: {page} and {self._pages[target]}")
        messages = page["pageMessageList"]
        places = [(message["createTime"], int(message["messageId"])) for message in messages]
        passed = SIZE * (int(target.rpartition("=")[2]) - 1)
        if places != sorted(set(places)) or len(places) != min(SIZE, max(0, page["total"] - passed)):
            raise InvalidRun(f"a page is not whole, or not in order: {page}")
        self._reads += 1


def _result(found: Mapping[str, Mapping[str, list[float]]], check: str) -> Result:
    figures = {f"{who}, a core": spread(each["a CPU-second"], "reads/s") for who, each in found.items()}
    for name, unit in (("core used", ""), ("p99", "ms")):
        figures |= {f"{who}, {name}": spread(each[name], unit) for who, each in found.items()}
    ratio = figures["IMC, a core"].median / figures["plain, a core"].median
    return Result(
        "7",
        f"history reads per core of query-api, pages of {SIZE} of {ROWS:,} messages, {CALLERS} connections",
        figures,
        f"≥ {TIMES_PLAIN:g} × plain",
        ratio,
        ratio >= TIMES_PLAIN,
        [check],
        shown=2,
    )
