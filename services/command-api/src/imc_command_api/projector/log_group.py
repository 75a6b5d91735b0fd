"""What projectors do to the logs as one consumer group. Each script is atomic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_service.redis.client import script_in
from redis.asyncio import Redis

_PACKAGE = "imc_command_api.projector"
_GROUP = names.PROJECTOR_GROUP
_RECALL_MARGIN_MS = 600_000
"""Recall marks are kept longer by this: their time comes from another clock than the log's."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the database is behind the logs.

    ``entries`` are lacking from all apps, ``entries_of_one_app`` from the app that lacks most. ``seconds`` is
    the age of the oldest.
    """

    entries: int
    entries_of_one_app: int
    seconds: float


class LogGroup:
    """Every method may raise what redis-py raises, and may be called again after that."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acknowledge = script_in(redis, _PACKAGE, "acknowledge.lua")
        self._dead_letter = script_in(redis, _PACKAGE, "dead_letter.lua")
        self._trim = script_in(redis, _PACKAGE, "group_info.lua", "trim.lua")
        self._lag = script_in(redis, _PACKAGE, "group_info.lua", "lag.lua")
        self._forget = script_in(redis, _PACKAGE, "forget_consumers.lua")
        self._forget_app = script_in(redis, _PACKAGE, "group_info.lua", "forget_app.lua")

    async def acknowledge(
        self, ids_by_app: Mapping[str, Sequence[bytes]], bytes_by_app: Mapping[str, int]
    ) -> None:
        """Acknowledge entries that the database has; each is counted once, however often this is repeated.

        ``bytes_by_app``: the size of an app's entries together.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id, ids in ids_by_app.items():
                keys = [names.log(app_id), names.log_state(app_id)]
                await self._acknowledge(
                    keys=keys, args=[_GROUP, bytes_by_app.get(app_id, 0), *ids], client=pipe
                )
            await pipe.execute()

    async def dead_letter(self, app_id: str, entry_id: bytes, reason: str) -> bool:
        """Move an entry to the dead letters; False if it no longer waits."""
        keys = [names.log(app_id), names.dead_letters(app_id), names.log_state(app_id)]
        return await self._dead_letter(keys=keys, args=[_GROUP, entry_id, reason]) == 1

    async def trim(self, app_id: str, keep_ms: int, keep_entries: int) -> int:
        """Remove some entries that the log need not keep, none that the database lacks; returns how many."""
        keys = [names.log(app_id), names.recalled(app_id)]
        return cast(int, await self._trim(keys=keys, args=[_GROUP, keep_ms, keep_entries, _RECALL_MARGIN_MS]))

    async def forget_consumers(self, app_id: str, idle_ms: int) -> int:
        """Remove consumers that hold no entry and were idle for ``idle_ms``; returns how many."""
        return cast(int, await self._forget(keys=[names.log(app_id)], args=[_GROUP, idle_ms]))

    async def forget_app(self, app_id: str, keep_ms: int, *, may_be_empty: bool) -> bool:
        """Forget an app that has nothing left to do, ``keep_ms`` after its last entry; tells whether it did.

        Such an app has all its entries in the database, no gateways and no dead letters. An app that never
        had an entry is forgotten if it ``may_be_empty``.
        """
        keys = [
            names.APPS,
            names.log(app_id),
            names.log_state(app_id),
            names.dead_letters(app_id),
            names.recalled(app_id),
            names.gateways(app_id),
            names.gateway_fence(app_id),
        ]
        arguments = [app_id, _GROUP, keep_ms, int(may_be_empty)]
        return await self._forget_app(keys=keys, args=arguments) == 1

    async def lag(self, app_ids: Iterable[str]) -> Lag:
        """How far the database is behind the logs of these apps."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id in app_ids:
                await self._lag(keys=[names.log(app_id), names.log_state(app_id)], args=[_GROUP], client=pipe)
            replies = cast("list[tuple[int, int]]", await pipe.execute())
        entries, ages = [entries for entries, _ in replies], [age for _, age in replies]
        return Lag(sum(entries), max(entries, default=0), max(ages, default=0) / 1000)
