"""Row 15: what 100 sends a second cost if 10,000 apps share them, compared with 10 apps."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping

import uvloop

from imc_bench.apps.whole import DATABASE, Whole, gateways, ids_of, one_each, send_to, whole
from imc_bench.http import paced
from imc_bench.push.audience import Audience
from imc_bench.rounds import Measure, alternate, spread
from imc_bench.rows import InvalidRun, Result, Scale

FEW, MANY = 10, 10_000
PER_SECOND = 100.0
TIMES = 1.2
"""How many times the cost among few apps the cost among many may be."""

BEHIND_SECONDS = 0.5
"""The goal for the age of the oldest acknowledged message that the database lacks."""

_POLL_SECONDS = 0.1
_SEED = 15


def measure(scale: Scale) -> list[Result]:
    """Measure two installations in turn that take the same sends, one with few apps and one with many."""
    return [uvloop.run(_measure(scale))]


async def _measure(scale: Scale) -> Result:
    async with _fleet(FEW) as few, _fleet(MANY) as many:
        contenders = {f"{each.count:,} apps": each.round_of(scale.of(5, 15)) for each in (few, many)}
        found = await alternate(contenders, scale.rounds)
        behind = await many.behind(scale.of(5, 15))
        await few.check()
        sent = await many.check()
    figures = {who: spread(each["all"], "µs/send") for who, each in found.items()}
    ratio = figures[f"{MANY:,} apps"].median / figures[f"{FEW:,} apps"].median
    for part in found[f"{MANY:,} apps"]:
        if part != "all":
            figures |= {f"{who}, {part}": spread(each[part], "µs/send") for who, each in found.items()}
    figures["history behind, at most"] = spread([behind * 1000], "ms")
    return Result(
        row="15",
        name=f"{PER_SECOND:g} sends a second, each to its gateway, among apps with a gateway each",
        figures=figures,
        goal=f"≤ {TIMES:g} × among {FEW}, history at most {BEHIND_SECONDS:g} s behind",
        ratio=ratio,
        met=ratio <= TIMES and behind <= BEHIND_SECONDS,
        checks=[
            f"{sent:,} messages among {MANY:,} apps: each in the database, and pushed once to its gateway"
        ],
        shown=2,
    )


class _Fleet:
    """An installation with ``count`` apps that have a gateway each."""

    def __init__(self, own: Whole, audiences: Mapping[str, Audience]) -> None:
        self._own = own
        self._audiences = audiences
        self._random = random.Random(_SEED)  # noqa: S311 - which app is next is no secret
        self._sent = Counter(audiences.keys())
        """How many messages each app was sent. The first came before its gateway."""
        self._rows = len(audiences)
        self.count = len(audiences)

    def round_of(self, seconds: float) -> Measure:
        """Measures microseconds of CPU a send, by part of the installation, for ``seconds``."""

        async def measured() -> Mapping[str, float]:
            before = self._own.cpu()
            sent = await self._send(seconds)
            await self._own.projected(self._rows)
            used = {part: (now - before[part]) / sent * 1e6 for part, now in self._own.cpu().items()}
            return {"all": sum(used.values()), **used, "all but the database": _without(used, DATABASE)}

        return measured

    async def behind(self, seconds: float) -> float:
        """The greatest age in seconds that a message reached before the database had it."""
        before, sent_at = self._rows, list[float]()
        sending = asyncio.create_task(self._send(seconds, sent_at))
        oldest = 0.0
        while not sending.done():
            asked = time.perf_counter()
            known = await self._own.rows() - before
            if known < len(sent_at):
                oldest = max(oldest, asked - sent_at[known])
            await asyncio.sleep(_POLL_SECONDS)
        await sending
        await self._own.projected(self._rows)
        return oldest

    async def check(self) -> int:
        """Check that each message is a row, and was pushed once. Raises `InvalidRun`."""
        await self._own.projected(self._rows)
        if (rows := await self._own.rows()) != self._rows:
            raise InvalidRun(f"{self._rows} messages were acknowledged, {rows} rows are there")
        for app_id, audience in self._audiences.items():
            await audience.delivered(self._sent[app_id] - 1)
            audience.check({0: range(1, self._sent[app_id])})
        return self._rows

    async def _send(self, seconds: float, sent_at: list[float] | None = None) -> int:
        apps = list(self._audiences)

        def requests(_: int) -> Iterator[bytes]:
            while True:
                app_id = self._random.choice(apps)
                number = self._sent[app_id]
                self._sent[app_id] += 1
                if sent_at is not None:
                    sent_at.append(time.perf_counter())
                yield send_to(app_id, number)

        # One connection: so the messages of an app are in the log in the order of their numbers.
        answers = await paced.call(self._own.send_url, paced.Pace(1, PER_SECOND), seconds, requests)
        sent = answers.accepted.count
        self._rows += sent
        return sent


def _without(used: Mapping[str, float], part: str) -> float:
    return sum(value for name, value in used.items() if name != part)


@contextlib.asynccontextmanager
async def _fleet(apps: int) -> AsyncGenerator[_Fleet]:
    async with whole() as own:
        every = ids_of(apps)
        await own.send_to_each(every)
        async with gateways(own.deployment.push_nodes[0].port, one_each(every)) as audiences:
            yield _Fleet(own, audiences)
