"""Row 3: sends over HTTP, beside a plain FastAPI application, one that does nothing, and Centrifugo."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import uvloop
from imc_testkit.processes import Process
from redis.asyncio import Redis

from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, log_check, senders, whole_sends
from imc_bench.http.callers import Calls
from imc_bench.http.senders import CALLERS, PATH
from imc_bench.http.stores import stores
from imc_bench.processes import measured, peer
from imc_bench.rounds import alternate, percentile, spread
from imc_bench.rows import Result, Scale

TIMES_PLAIN = 8.0
SHARE_OF_PLAIN_P99 = 0.2
SHARE_OF_BARE = 0.6
_PLAIN = "imc_bench.peers.plain.application:create_app"

Check = Callable[[Any, str, Calls], Awaitable[None]]
"""Compares the messages of an app in Redis with the replies to its senders; raises `InvalidRun`."""


def measure(scale: Scale) -> list[Result]:
    """Measure sends per CPU-second and latencies of the three in turn, then those beside Centrifugo."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        servers = await stack.enter_async_context(stores())
        redis = await stack.enter_async_context(Redis.from_url(servers.redis_url))  # pyright: ignore
        plain_env = {"REDIS_URL": servers.redis_url, "DATABASE_URL": servers.database_url}
        imc = await stack.enter_async_context(measured("imc-command-api", servers.env))
        plain = await stack.enter_async_context(peer(_PLAIN, plain_env, "--factory"))
        bare = await stack.enter_async_context(peer("imc_bench.peers.bare:application", {}))
        load = _Load(redis, scale.seconds)
        found = await alternate(
            {
                "IMC": lambda: load.run(imc, _check_imc),
                "plain": lambda: load.run(plain, _check_plain),
                "bare": lambda: load.run(bare, _check_nothing),
            },
            scale.rounds,
        )
    check = f"{load.checked:,} sends: acknowledged, in the log once, whole, in each sender's order"
    return [*_results(found, [check]), await whole_sends.measure(scale)]


class _Load:
    """Sends to one process for a while, then checks the replies."""

    def __init__(self, redis: Any, seconds: float) -> None:
        self._redis = redis
        self._seconds = seconds
        self.checked = 0

    async def run(self, process: Process, check: Check) -> Mapping[str, float]:
        app_id = senders.new_app()
        used = cpu_seconds(process.pid)
        calls = await callers.call(
            process.url, CALLERS, self._seconds, lambda sender: drafts.singles(app_id, PATH, sender)
        )
        used = cpu_seconds(process.pid) - used
        await check(self._redis, app_id, calls)
        self.checked += calls.count if check is not _check_nothing else 0
        latencies = calls.all_latencies
        return {
            "a core": calls.count / used,
            "core used": used / calls.seconds,
            "p50": percentile(latencies, 0.5) * 1000,
            "p99": percentile(latencies, 0.99) * 1000,
        }


async def _check_imc(redis: Any, app_id: str, calls: Calls) -> None:
    log_check.check(senders.acknowledged_singles(calls), await senders.logged(redis, app_id))
    await senders.forget(redis, app_id)


async def _check_plain(redis: Any, app_id: str, calls: Calls) -> None:
    acknowledged = senders.acknowledged_singles(calls)
    log_check.check(acknowledged, await senders.logged(redis, app_id, f"plain:{app_id}", b"message"))


async def _check_nothing(_redis: Any, _app_id: str, _calls: Calls) -> None:
    """Do nothing: the bare application stores no messages."""


def _results(found: Mapping[str, Mapping[str, list[float]]], checks: list[str]) -> list[Result]:
    a_core = {f"{who}, a core": spread(each["a core"], "sends/s") for who, each in found.items()}
    p99 = {f"{who}, p99": spread(each["p99"], "ms") for who, each in found.items()}
    beside = {f"{who}, core used": spread(each["core used"], "") for who, each in found.items()}
    beside |= {f"{who}, p50": spread(each["p50"], "ms") for who, each in found.items()}
    imc, plain, bare = (a_core[f"{who}, a core"].median for who in ("IMC", "plain", "bare"))
    late = p99["IMC, p99"].median / p99["plain, p99"].median
    name = f"sends over HTTP, one message each, {CALLERS} connections, per core of command-api"

    of_plain, of_bare = imc / plain, imc / bare
    goals = [
        (a_core | beside, f"≥ {TIMES_PLAIN:g} × plain", of_plain, of_plain >= TIMES_PLAIN),
        (p99, f"p99 ≤ {SHARE_OF_PLAIN_P99:g} × plain", late, late <= SHARE_OF_PLAIN_P99),
        (a_core, f"≥ {SHARE_OF_BARE:g} × bare", of_bare, of_bare >= SHARE_OF_BARE),
    ]
    return [Result("3", name, *goal, checks=checks, shown=3) for goal in goals]
