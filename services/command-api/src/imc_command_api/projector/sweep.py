"""Removes the rows that the policies of apps do not keep: those over an age, and groups that are abandoned.

A sweep goes through the apps of the own shards. It works in steps of one statement or one short transaction,
and after each it rests for much longer than that took. So queries and the projection keep nearly all of the
database, however slow it is. It remembers nothing: rows that come back, as when a former owner of a shard
projects an entry once more, go with the next sweep. Two owners for a moment do no harm.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from imc_contracts import names
from imc_contracts.policies import DAY_MS, Policies
from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.logs import get_logger
from imc_service.outage import Outage
from imc_service.redis.errors import words_of
from imc_service.redis.masters import Masters
from imc_service.retry import Backoff
from redis.exceptions import RedisError

from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.store.due_rows import BEGIN, DueRows, GroupAges, Kind
from imc_command_api.store.removal import Removal, Removed

logger = get_logger("projector.sweep")

T = TypeVar("T")

ROWS_A_STEP = 250
"""The most rows that one transaction removes: it holds their locks until it has committed."""

GROUPS_A_STEP = 200
APPS_A_STEP = 500

APPS_AT_ONCE = 8
"""How many apps take turns. One with very many old rows must not keep the others waiting."""

MOST_REST_SECONDS = 60.0

FIRST_SECONDS = 60.0
"""The first sweep begins within this time, at random: processes that start together do not sweep together."""

AGAIN_SECONDS = 60.0
"""How soon a sweep that failed is tried again."""


class Sweeper:
    """Sweeps again and again inside `run`."""

    def __init__(
        self,
        masters: Masters,
        due_rows: DueRows,
        removal: Removal,
        policies: Policies,
        owned: Callable[[], Collection[int]],
        metrics: ProjectorMetrics,
        *,
        every_seconds: float,
        share: float,
        log_retention_ms: int,
    ) -> None:
        """``owned`` tells the shards that this projector owns now.

        ``share`` is the part of the time in which it looks for rows and removes them: at 1 there is no rest.
        Nothing is removed of an app whose rows would go before its log has forgotten them, which it does
        after ``log_retention_ms``: until then it pushes their events to gateways that resume.
        """
        self._masters = masters
        self._due_rows = due_rows
        self._removal = removal
        self._policies = policies
        self._owned = owned
        self._metrics = metrics
        self._every_seconds = every_seconds
        self._share = share
        self._log_retention_ms = log_retention_ms
        self._outage = Outage(logger.warning, "removing old rows")
        self._turn = asyncio.Lock()
        """Held for a step and the rest after it. Whoever has waited longest is next."""
        self._overdue_ms = 0

    def trouble(self) -> str | None:
        """What somebody has to look at, or None. Nobody waits for a sweep, so it makes no process unready."""
        if (words := self._outage.words) is not None:
            return words
        tables = {"defaults": self._policies.default}
        tables |= {f"apps.{app_id}": policy for app_id, policy in self._policies.named.items()}
        for table, policy in tables.items():
            if policy.least_age_ms is not None and policy.least_age_ms < self._log_retention_ms:
                days = self._log_retention_ms / DAY_MS
                return (
                    f"{table}: nothing is removed, since logs keep entries for {days:g} days "
                    "(IMC_LOG_RETENTION_SECONDS): retention_days and abandoned_group_days must not be less"
                )
        return None

    async def run(self) -> None:
        """Sweep, and again once the time between sweeps is over, until cancelled."""
        await asyncio.sleep(random.uniform(0, min(self._every_seconds, FIRST_SECONDS)))  # noqa: S311
        while True:
            begun = time.monotonic()
            pause = self._every_seconds
            try:
                if not await self.sweep():
                    pause = min(pause, AGAIN_SECONDS)
            except (RedisError, OSError) as error:
                self._outage.goes_on(words_of(error))
                pause = min(pause, AGAIN_SECONDS)
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))

    async def sweep(self) -> bool:
        """Remove what is due now of the apps of the own shards; False if the database refuses it.

        A database that is away is waited for. Raises what redis-py raises.
        """
        policies = (self._policies.default, *self._policies.named.values())
        if all(policy.least_age_ms is None for policy in policies):
            return True
        begun, now_ms = time.monotonic(), await self._now_ms()
        self._overdue_ms, refused = 0, False
        total, slots = Removed(), asyncio.Semaphore(APPS_AT_ONCE)

        async def sweep_app(app_id: str) -> None:
            nonlocal total, refused
            try:
                total = total.plus(await self._sweep_app(app_id, now_ms))
            except StatementRefused as error:
                refused = True
                self._outage.goes_on(str(error))
            finally:
                slots.release()

        async with asyncio.TaskGroup() as tasks:
            async for app_id in self._app_ids():
                await slots.acquire()
                tasks.create_task(sweep_app(app_id))
        self._metrics.sweep.overdue_seconds.set(self._overdue_ms / 1000)
        if any(total):
            seconds = round(time.monotonic() - begun, 3)
            logger.info("old rows are removed", **total._asdict(), seconds=seconds)
        if not refused:
            self._outage.is_over()
            self._metrics.sweep.last_sweep.set_to_current_time()
        return not refused

    async def _app_ids(self) -> AsyncGenerator[str]:
        """The apps of which something may be due. The database lists them if the defaults remove anything."""
        if self._policies.default.least_age_ms is None:
            for app_id in sorted(self._policies.named):
                if self._may_sweep(app_id):
                    yield app_id
            return
        after: str | None = ""
        while after is not None:
            page = await self._step(partial(self._due_rows.apps, after, APPS_A_STEP))
            for app_id in page:
                if self._may_sweep(app_id):
                    yield app_id
            after = page[-1] if len(page) == APPS_A_STEP else None

    async def _sweep_app(self, app_id: str, now_ms: int) -> Removed:
        """Remove what is due of an app. Raises `StatementRefused`."""
        removed = Removed()
        for kind in Kind:
            after: str | None = ""
            while after is not None:
                page = await self._step(partial(self._due_rows.groups, kind, app_id, after, GROUPS_A_STEP))
                removed = removed.plus(await self._sweep_groups(app_id, kind, page, now_ms))
                after = page[-1].group_id if len(page) == GROUPS_A_STEP else None
        if any(removed):
            logger.debug("old rows of an app are removed", appId=app_id, **removed._asdict())
        return removed

    async def _sweep_groups(
        self, app_id: str, kind: Kind, groups: Sequence[GroupAges], now_ms: int
    ) -> Removed:
        removed, ids = Removed(), list[int]()
        for group in groups:
            async for id_ in self._due_ids(app_id, kind, group, now_ms):
                ids.append(id_)
                if len(ids) == ROWS_A_STEP:
                    removed, ids = removed.plus(await self._remove(app_id, kind, ids)), []
        return removed.plus(await self._remove(app_id, kind, ids)) if ids else removed

    async def _due_ids(self, app_id: str, kind: Kind, group: GroupAges, now_ms: int) -> AsyncGenerator[int]:
        """The ids of the rows of a group that are due, the oldest first."""
        place = BEGIN
        while True:
            # Looked up each time: the file of apps, and who owns the shard, may have changed.
            cutoff = self._cutoff(app_id, group, now_ms)
            if group.oldest is None or group.oldest >= cutoff:
                return
            self._overdue_ms = max(self._overdue_ms, cutoff - group.oldest)
            self._metrics.sweep.overdue_seconds.set(self._overdue_ms / 1000)
            found = await self._step(
                partial(self._due_rows.due, kind, app_id, group.group_id, place, cutoff, ROWS_A_STEP)
            )
            for place in found:
                yield place[1]
            if len(found) < ROWS_A_STEP:
                return

    async def _remove(self, app_id: str, kind: Kind, ids: Sequence[int]) -> Removed:
        if not self._may_sweep(app_id):
            return Removed()
        of_kind = "message_ids" if kind is Kind.MESSAGE else "information_ids"
        removed = await self._step(partial(self._removal.remove, app_id, **{of_kind: ids}))
        for rows, number in removed._asdict().items():
            self._metrics.sweep.removed.labels(rows).inc(number)
        return removed

    async def _step(self, action: Callable[[], Awaitable[T]]) -> T:
        """The result of ``action``, which is repeated while the database is away; then rest."""
        async with self._turn:
            begun = time.monotonic()
            result = await Backoff().retry(action, StoreUnavailable, on_retry=self._metrics.retries.inc)
            await asyncio.sleep(min((time.monotonic() - begun) * (1 / self._share - 1), MOST_REST_SECONDS))
            return result

    def _may_sweep(self, app_id: str) -> bool:
        age = self._policies.of(app_id).least_age_ms
        return age is not None and age >= self._log_retention_ms and names.shard_of(app_id) in self._owned()

    def _cutoff(self, app_id: str, group: GroupAges, now_ms: int) -> int:
        """The time before which rows of a group are due, in Unix milliseconds; 0 if none is."""
        if not self._may_sweep(app_id):
            return 0
        policy = self._policies.of(app_id)
        cutoff = 0 if policy.retention_ms is None else now_ms - policy.retention_ms
        if policy.abandoned_after_ms is not None and group.newest is not None:
            silent_since = now_ms - policy.abandoned_after_ms
            # Only what is older: somebody may write to the group now.
            cutoff = max(cutoff, silent_since) if group.newest < silent_since else cutoff
        return cutoff

    async def _now_ms(self) -> int:
        """Unix milliseconds, by the earlier of two clocks. One that is fast would remove too much."""
        seconds, microseconds = await self._masters.run(
            names.PROJECTORS,
            lambda redis: redis.time(),  # pyright: ignore[reportUnknownMemberType]
        )
        return min(time.time_ns() // 1_000_000, int(seconds) * 1000 + int(microseconds) // 1000)
