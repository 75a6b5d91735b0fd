"""What the apps of an installation do, counted where it happens and added up in Redis minute by minute.

A count is an addition in memory. Every few seconds a process adds its counts to hashes of the minute: one for
all apps together, and for the noisiest apps one in each of their shards. So what is written follows what
happens and is bounded, however many apps there are.
"""

import asyncio
import heapq
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from imc_contracts import names
from redis.exceptions import RedisError

from imc_service.logs import get_logger
from imc_service.redis.masters import Argument, Masters

logger = get_logger("activity")

FLUSH_SECONDS = 10.0
"""Divides a minute, so that a flush at its end counts for it."""

MOST_APPS = 1000
"""The most apps that a process writes at a time."""

MOST_COUNTED = 10_000
"""The most apps that are counted in memory between two flushes. Others count for all apps together only."""

KEEP_MS = 70 * 60_000
"""How long the hashes of a minute are kept."""

TIMES_MS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000)
"""The upper bounds of the classes that the times of sends are counted in; one class is above them."""


class Kind(StrEnum):
    """What is counted. The values begin the fields of the hashes."""

    SENDS = "s"
    REFUSED = "r"
    PUSHES = "p"


Counts = Mapping[Kind, Counter[str]]
"""Counts of each kind, by app."""

TIMES, BACKLOG = "t", "b"
"""What begins the other fields of the hash of all apps: a class of `TIMES_MS`, a projector's backlog."""


def field_of(kind: str, name: str = "") -> str:
    """A field: of an app or, in the hash of all apps, of everything."""
    return f"{kind}:{name}"


class Activity:
    """The counts of one process. `run` must be running, or they stay where they are."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters
        self._by_app: dict[Kind, Counter[str]] = {kind: Counter() for kind in Kind}
        self._all: Counter[Kind] = Counter()
        self._times = [0] * (len(TIMES_MS) + 1)
        self.on_flush: Callable[[Counts], object] = lambda _counts: None
        """Called with the counts by app when they go to Redis and begin anew."""

    @property
    def counts(self) -> Counts:
        """The counts by app since they went to Redis."""
        return self._by_app

    def sent(self, app_id: str, count: int) -> None:
        """Count accepted sends."""
        self._count(Kind.SENDS, app_id, count)

    def refused(self, app_id: str, count: int = 1) -> None:
        """Count refused sends."""
        self._count(Kind.REFUSED, app_id, count)

    def pushed(self, app_id: str, count: int) -> None:
        """Count pushes written to gateways."""
        self._count(Kind.PUSHES, app_id, count)

    def took(self, sends: Iterable[tuple[float, int]]) -> None:
        """Note times until sends were acknowledged: each in seconds, and how many sends took it."""
        times = self._times
        for seconds, count in sends:
            times[bisect_left(TIMES_MS, seconds * 1000)] += count

    async def run(self) -> None:
        """Add the counts to those in Redis every `FLUSH_SECONDS` until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS - time.time() % FLUSH_SECONDS)
            await self.flush(int((time.time() - FLUSH_SECONDS / 2) // 60))

    async def flush(self, minute: int) -> None:
        """Add the counts to those of ``minute``. What Redis does not take is lost."""
        commands = self._commands(minute)
        if not commands:
            return
        replies = await self._masters.each(commands)
        if faults := [reply for reply in replies if isinstance(reply, (RedisError, OSError))]:
            logger.debug("activity is not counted", fault=type(faults[0]).__name__, count=len(faults))

    def _count(self, kind: Kind, app_id: str, count: int) -> None:
        if count:
            self._all[kind] += count
            of_kind = self._by_app[kind]
            if app_id in of_kind or len(of_kind) < MOST_COUNTED:
                of_kind[app_id] += count

    def _commands(self, minute: int) -> list[tuple[str, Sequence[Argument]]]:
        """What writes the counts, which begin anew."""
        of_all, self._all = self._all, Counter[Kind]()
        times, self._times = self._times, [0] * (len(TIMES_MS) + 1)
        by_app, self._by_app = self._by_app, {kind: Counter[str]() for kind in Kind}
        self.on_flush(by_app)
        total: Counter[str] = Counter()
        for counts in by_app.values():
            total.update(counts)
        added: dict[str, list[tuple[str, int]]] = {}
        if of_all or any(times):
            fields = [(field_of(kind), count) for kind, count in of_all.items()]
            fields += [(field_of(TIMES, str(place)), count) for place, count in enumerate(times) if count]
            added[names.all_activity(minute)] = fields
        for app_id in heapq.nlargest(MOST_APPS, total, key=total.__getitem__):
            key = names.activity(names.shard_of(app_id), minute)
            added.setdefault(key, []).extend(
                (field_of(kind, app_id), counts[app_id])
                for kind, counts in by_app.items()
                if app_id in counts
            )
        return [
            (key, command)
            for key, fields in added.items()
            for command in (
                *(("HINCRBY", key, field, count) for field, count in fields),
                ("PEXPIRE", key, KEEP_MS),
            )
        ]


class Backlog:
    """What of the logs the database lacks, as the projector ``name`` sees it."""

    def __init__(self, masters: Masters, name: str) -> None:
        self._masters = masters
        self._field = field_of(BACKLOG, name)
        self._entries = 0
        self._told: tuple[int, int] = (0, 0)
        """The minute and the entries that were written last."""

    def is_now(self, entries: int) -> None:
        """Note how many entries the database lacks."""
        self._entries = entries

    async def run(self) -> None:
        """Write it every `FLUSH_SECONDS` until cancelled, where it has changed."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS - time.time() % FLUSH_SECONDS)
            await self.flush(int((time.time() - FLUSH_SECONDS / 2) // 60))

    async def flush(self, minute: int) -> None:
        """Write it for ``minute``, unless that has it. A minute without it has none."""
        told = self._told[1] if self._told[0] == minute else 0
        if told == self._entries:
            return
        self._told = (minute, self._entries)
        key = names.all_activity(minute)
        replies = await self._masters.each(
            [(key, ("HSET", key, self._field, self._entries)), (key, ("PEXPIRE", key, KEEP_MS))]
        )
        if any(isinstance(reply, (RedisError, OSError)) for reply in replies):
            self._told = (0, 0)
