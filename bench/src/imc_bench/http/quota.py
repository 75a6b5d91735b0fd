"""Row ``quota``: latency of the sends of one app, alone and beside an app at ten times its quota."""

import asyncio
import contextlib
import statistics
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import uvloop
from imc_contracts import names
from imc_testkit.policies import quotas_text
from imc_testkit.processes import Process
from redis.asyncio import Redis

from imc_bench.cpu import cpu_seconds
from imc_bench.http import drafts, log_check, paced, senders
from imc_bench.http.paced import Answers, Pace
from imc_bench.http.stores import stores
from imc_bench.processes import measured
from imc_bench.rounds import alternate, percentile, spread
from imc_bench.rows import InvalidRun, Result, Scale

PATH = "/v1/commands/send-message"
QUOTA = 100
"""The quota of the greedy app: sends per second, and burst."""

GREEDY = Pace(connections=10, requests_per_second=10 * QUOTA)
MODEST = Pace(connections=10, requests_per_second=500)
MAX_RATIO = 1.3


def measure(scale: Scale) -> list[Result]:
    """Measure the p99 of the modest app in both cases in turn, and the cost of a refusal in command-api."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    seconds = scale.of(1, 5)
    async with _neighbours(seconds) as neighbours:
        found = await alternate({"alone": neighbours.alone, "beside": neighbours.beside}, scale.rounds)
    p99 = {name: each["p99"] for name, each in found.items()}
    times = [beside / alone for alone, beside in zip(p99["alone"], p99["beside"], strict=True)]
    ratio = statistics.median(times)
    each_accepted = [used / (MODEST.requests_per_second * seconds) * 1e6 for used in found["alone"]["CPU"]]
    each_refused = [
        (beside - alone) / refused * 1e6
        for alone, beside, refused in zip(
            found["alone"]["CPU"], found["beside"]["CPU"], found["beside"]["refused"], strict=True
        )
    ]
    return Result(
        row="quota",
        name=f"p99 of sends, {MODEST.requests_per_second:g} a second, beside an app at ten times its quota",
        figures={
            **{f"{name}, p99": spread(values, "ms") for name, values in p99.items()},
            **{f"{name}, p50": spread(each["p50"], "ms") for name, each in found.items()},
            "beside / alone, round by round": spread(times, ""),
            "CPU of command-api, each send of the modest": spread(each_accepted, "µs"),
            "CPU of command-api, each refusal of the greedy": spread(each_refused, "µs"),
        },
        goal=f"at most {MAX_RATIO:.0%} of alone",
        ratio=ratio,
        met=ratio <= MAX_RATIO,
        checks=neighbours.checks,
    )


@contextlib.asynccontextmanager
async def _neighbours(seconds: float) -> AsyncGenerator["_Neighbours"]:
    greedy = senders.new_app()
    text = quotas_text({greedy: {"sends_per_second": QUOTA, "send_burst": QUOTA}})
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        async with (
            stores() as servers,
            Redis.from_url(servers.redis_url) as redis,  # pyright: ignore[reportUnknownMemberType]
            measured("imc-command-api", {**servers.env, "IMC_APPS_FILE": file.name}) as process,
        ):
            yield _Neighbours(process, redis, greedy, seconds)


@dataclass
class _Neighbours:
    """A modest app and a greedy one. Each round is checked against the log."""

    process: Process
    redis: Any
    greedy: str
    seconds: float
    modest_sends: int = 0
    greedy_sends: int = 0
    refused: int = 0

    @property
    def checks(self) -> list[str]:
        """What was verified."""
        return [
            f"{self.modest_sends:,} sends of the modest app: none refused, in the log once, whole, in order",
            f"of the greedy app {self.greedy_sends:,} sends, its quota, are in the log; "
            f"{self.refused:,} were refused",
        ]

    async def alone(self) -> Mapping[str, float]:
        return await self._modest()

    async def beside(self) -> Mapping[str, float]:
        answers, figures = await asyncio.gather(self._send(self.greedy, GREEDY), self._modest())
        await self._check_greedy(answers)
        return {**figures, "refused": float(answers.statuses[429])}

    async def _modest(self) -> Mapping[str, float]:
        app_id = senders.new_app()
        used = cpu_seconds(self.process.pid)
        answers = await self._send(app_id, MODEST)
        used = cpu_seconds(self.process.pid) - used
        if answers.statuses[429]:
            raise InvalidRun("an app without a quota was refused")
        log_check.check(
            senders.acknowledged_singles(answers.accepted), await senders.logged(self.redis, app_id)
        )
        await senders.forget(self.redis, app_id)
        self.modest_sends += answers.accepted.count
        latencies = answers.accepted.all_latencies
        return {
            "p50": percentile(latencies, 0.5) * 1000,
            "p99": percentile(latencies, 0.99) * 1000,
            "CPU": used,
        }

    async def _send(self, app_id: str, pace: Pace) -> Answers:
        def requests(sender: int) -> Any:
            return drafts.singles(app_id, PATH, sender)

        return await paced.call(self.process.url, pace, self.seconds, requests)

    async def _check_greedy(self, answers: Answers) -> None:
        accepted, most = answers.accepted.count, QUOTA * (answers.accepted.seconds + 1)
        if not 0.5 * QUOTA * answers.accepted.seconds <= accepted <= most:
            raise InvalidRun(f"{accepted} sends were accepted, with a quota that allows {most:.0f}")
        logged = await self.redis.xlen(names.log(self.greedy))
        if logged != accepted:
            raise InvalidRun(f"{accepted} sends were acknowledged, {logged} are in the log")
        await self.redis.xtrim(names.log(self.greedy), maxlen=0, approximate=False)
        self.greedy_sends += accepted
        self.refused += answers.statuses[429]
