"""Row 3: sends over HTTP, one message each, beside the plain way and beside an application that does nothing."""

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any

import orjson
import uvloop
from imc_contracts import names
from imc_testkit.databases import new_database
from imc_testkit.processes import Process, run_script
from imc_testkit.servers import private_mariadb, private_redis
from redis.asyncio import Redis

from imc_bench.cpu import cpu_seconds
from imc_bench.http import callers, drafts, log_check
from imc_bench.http.log_check import Acknowledged, Logged
from imc_bench.processes import measured, peer
from imc_bench.rounds import alternate, percentile, spread
from imc_bench.rows import Faulty, Result, Scale

CALLERS = 64
PATH = "/chat/message/create"
TIMES_PLAIN = 8.0
SHARE_OF_PLAIN_P99 = 0.2
SHARE_OF_BARE = 0.6


def measure(scale: Scale) -> list[Result]:
    """Sends a second of CPU, and how long one takes, of the three in turn."""
    return uvloop.run(_measure(scale))


async def _measure(scale: Scale) -> list[Result]:
    async with contextlib.AsyncExitStack() as stack:
        redis_server = await stack.enter_async_context(private_redis())
        mariadb = await stack.enter_async_context(private_mariadb())
        database_url = await stack.enter_async_context(new_database(mariadb.url))
        await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
        redis = await stack.enter_async_context(Redis.from_url(redis_server.url))  # pyright: ignore
        stores = {"IMC_REDIS_URL": redis_server.url, "IMC_DATABASE_URL": database_url}
        plain_stores = {"REDIS_URL": redis_server.url, "DATABASE_URL": database_url}
        imc = await stack.enter_async_context(measured("imc-command-api", stores))
        plain = await stack.enter_async_context(
            peer("imc_bench.peers.plain.application:create_app", plain_stores, "--factory")
        )
        bare = await stack.enter_async_context(peer("imc_bench.peers.bare:application", {}))
        run = _Run(redis, scale.seconds)
        found = await alternate(
            {
                "IMC": lambda: run.of_imc(imc),
                "plain": lambda: run.of_plain(plain),
                "bare": lambda: run.of_bare(bare),
            },
            scale.rounds,
        )
        return _results(found, [f"{run.checked:,} sends: {run.last_check}"])


class _Run:
    """Measures one contender for a while, then compares the log with what was acknowledged."""

    def __init__(self, redis: Redis, seconds: float) -> None:
        self._redis: Any = redis
        self._seconds = seconds
        self.checked = 0
        self.last_check = ""

    async def of_imc(self, process: Process) -> Mapping[str, float]:
        app_id = _new_app()
        calls, figures = await self._call(process, app_id)
        logged = [
            Logged((view := orjson.loads(fields[b"v"]))["messageId"], entry, view["content"])
            async for entry, fields in log_check.entries(self._redis, names.log(app_id))
        ]
        self._check(calls, logged)
        return figures

    async def of_plain(self, process: Process) -> Mapping[str, float]:
        app_id = _new_app()
        calls, figures = await self._call(process, app_id)
        logged = [
            Logged((view := orjson.loads(fields[b"message"]))["messageId"], entry, view["content"])
            async for entry, fields in log_check.entries(self._redis, f"plain:{app_id}")
        ]
        self._check(calls, logged)
        return figures

    async def of_bare(self, process: Process) -> Mapping[str, float]:
        return (await self._call(process, "nobody"))[1]

    async def _call(self, process: Process, app_id: str) -> tuple[callers.Calls, dict[str, float]]:
        used = cpu_seconds(process.pid)
        calls = await callers.call(
            process.url, CALLERS, self._seconds, lambda sender: drafts.singles(app_id, PATH, sender)
        )
        used = cpu_seconds(process.pid) - used
        latencies = calls.all_latencies
        return calls, {
            "a second": calls.count / calls.seconds,
            "a CPU-second": calls.count / used,
            "core used": used / calls.seconds,
            "p50": percentile(latencies, 0.5) * 1000,
            "p99": percentile(latencies, 0.99) * 1000,
        }

    def _check(self, calls: callers.Calls, logged: list[Logged]) -> None:
        acknowledged = [
            [_acknowledged(reply, sender, number) for number, reply in enumerate(replies)]
            for sender, replies in enumerate(calls.replies)
        ]
        self.last_check = log_check.check(acknowledged, logged)
        self.checked += calls.count


def _new_app() -> str:
    return f"bench-{secrets.token_hex(4)}"


def _acknowledged(reply: bytes, sender: int, number: int) -> Acknowledged:
    receipt = orjson.loads(reply)
    receipt = receipt.get("data", receipt)
    entry = receipt["cursor"].partition(".")[2] if "cursor" in receipt else receipt["entry"]
    return Acknowledged(receipt["messageId"], entry, drafts.content_of(sender, number))


def _results(found: Mapping[str, Mapping[str, list[float]]], checks: list[str]) -> list[Result]:
    a_core = {f"{who}, a core": spread(each["a CPU-second"], "sends/s") for who, each in found.items()}
    a_second = {f"{who}, core used": spread(each["core used"], "") for who, each in found.items()}
    p50 = {f"{who}, p50": spread(each["p50"], "ms") for who, each in found.items()}
    p99 = {f"{who}, p99": spread(each["p99"], "ms") for who, each in found.items()}
    imc, plain, bare = (a_core[f"{who}, a core"].median for who in ("IMC", "plain", "bare"))
    late = p99["IMC, p99"].median / p99["plain, p99"].median
    name = f"sends over HTTP, one message each, {CALLERS} connections, per core of command-api"
    return [
        Result(
            "3",
            name,
            a_core | a_second,
            f"≥ {TIMES_PLAIN:g} × plain",
            imc / plain,
            imc >= TIMES_PLAIN * plain,
            checks,
        ),
        Result(
            "3", name, p50 | p99, f"p99 ≤ {SHARE_OF_PLAIN_P99:g} × plain", late, late <= SHARE_OF_PLAIN_P99
        ),
        Result("3", name, {}, f"≥ {SHARE_OF_BARE:g} × bare", imc / bare, imc >= SHARE_OF_BARE * bare),
    ]
