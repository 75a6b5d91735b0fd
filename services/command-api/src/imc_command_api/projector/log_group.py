"""What projectors do to the logs as one consumer group, by scripts that each are atomic."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from imc_contracts import names
from imc_service.redis.client import script_in
from redis.asyncio import Redis

_PACKAGE = "imc_command_api.projector"
_GROUP = names.PROJECTOR_GROUP
_RECALL_MARGIN_MS = 600_000
"""A recall mark bears its message's own time, made by another clock than the log's: kept this much longer."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the database is behind: entries it lacks, of all apps and of the app that it lacks most of, and
    seconds since the oldest of them was appended."""

    entries: int
    entries_of_one_app: int
    seconds: float


class LogGroup:
    """Every method may raise what redis-py raises, and may be called again after that."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acknowledge = script_in(redis, _PACKAGE, "acknowledge.lua")
        self._dead_letter = script_in(redis, _PACKAGE, "dead_letter.lua")
        self._trim = script_in(redis, _PACKAGE, "trim.lua")
        self._lag = script_in(redis, _PACKAGE, "lag.lua")
        self._forget = script_in(redis, _PACKAGE, "forget_consumers.lua")
        self._forget_app = script_in(redis, _PACKAGE, "forget_app.lua")

    async def acknowledge(
        self, ids_by_app: Mapping[str, Sequence[bytes]], bytes_by_app: Mapping[str, int]
    ) -> None:
        """Note that the database has these entries; each is counted once, however often it is noted.

        ``bytes_by_app``: how many bytes the entries of an app take together.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id, ids in ids_by_app.items():
                keys = [names.log(app_id), names.log_state(app_id)]
                await self._acknowledge(
                    keys=keys, args=[_GROUP, bytes_by_app.get(app_id, 0), *ids], client=pipe
                )
            await pipe.execute()

    async def put_aside(self, app_id: str, entry_id: bytes, reason: str) -> bool:
        """Move an entry to the dead letters; False if it waits no more."""
        keys = [names.log(app_id), names.dead_letters(app_id), names.log_state(app_id)]
        return await self._dead_letter(keys=keys, args=[_GROUP, entry_id, reason]) == 1

    async def trim(self, app_id: str, keep_ms: int, keep_entries: int) -> int:
        """Remove some of what the log need not keep, nothing that the database lacks; how many entries."""
        keys = [names.log(app_id), names.recalled(app_id)]
        return cast(int, await self._trim(keys=keys, args=[_GROUP, keep_ms, keep_entries, _RECALL_MARGIN_MS]))

    async def forget_consumers(self, app_id: str, idle_ms: int) -> int:
        """Remove consumers that hold nothing and showed no life for that long; how many."""
        return cast(int, await self._forget(keys=[names.log(app_id)], args=[_GROUP, idle_ms]))

    async def forget_app(self, app_id: str, keep_ms: int, *, may_be_empty: bool) -> bool:
        """Forget an app that has nothing left to do, ``keep_ms`` after its last entry; whether it is.

        That is one whose entries are in the database, without gateways and dead letters. One that never had
        an entry is forgotten if it ``may_be_empty``.
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
        """How far the database is behind with these apps."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id in app_ids:
                await self._lag(keys=[names.log(app_id), names.log_state(app_id)], args=[_GROUP], client=pipe)
            replies = cast("list[tuple[int, int]]", await pipe.execute())
        entries, ages = [entries for entries, _ in replies], [age for _, age in replies]
        return Lag(sum(entries), max(entries, default=0), max(ages, default=0) / 1000)
