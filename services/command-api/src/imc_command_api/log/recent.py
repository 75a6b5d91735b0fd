"""Looks up messages and notices in the log by id, while the database may not have them."""

from collections.abc import Awaitable
from typing import cast

from imc_contracts import names
from imc_contracts.events import Entry, EventKind, MalformedEvent, read_entry
from redis.asyncio import Redis

from imc_command_api.domain.ids import time_of
from imc_command_api.log.script import MINUTE_MS

RETIRED = b"x"
ASKED_AT_ONCE = 500
"""Apps asked for in one round trip. Asking for thousands would keep other commands waiting."""


class Retired(Exception):
    """The message was recalled, or the notice deleted."""


class RecentEntries:
    """Finds the event that made a message or notice, while the log remembers its entry."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, app_id: str, id_: int, kind: EventKind) -> Entry | None:
        """The entry of ``kind`` that made ``id_`` in this app, or None if the log does not remember it.

        Raises `Retired`, and what redis-py raises.
        """
        key = names.recent(app_id, time_of(id_) // MINUTE_MS)
        entry_id = await cast("Awaitable[bytes | None]", self._redis.hget(key, str(id_)))
        if entry_id is None:
            return None
        if entry_id.startswith(RETIRED):
            raise Retired(id_)
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            await self._redis.xrange(names.log(app_id), entry_id, entry_id),
        )
        try:
            entry = read_entry(*entries[0]) if entries else None
        except MalformedEvent:
            return None
        return entry if entry is not None and entry.kind is kind else None

    async def app_of(self, id_: int, apps: frozenset[str] | None = None) -> str | None:
        """The app among ``apps``, or among all, whose log remembers ``id_``. For calls that name no app.

        Ids are unique across apps, so at most one log remembers it.
        """
        minute = time_of(id_) // MINUTE_MS
        asked = await self._all_apps() if apps is None else list(apps)
        for first in range(0, len(asked), ASKED_AT_ONCE):
            some = asked[first : first + ASKED_AT_ONCE]
            pipeline = self._redis.pipeline(transaction=False)
            for app_id in some:
                pipeline.hexists(names.recent(app_id, minute), str(id_))
            found = cast("list[int]", await pipeline.execute())
            for app_id, known in zip(some, found, strict=True):
                if known:
                    return app_id
        return None

    async def _all_apps(self) -> list[str]:
        return [app.decode() for app in await cast("Awaitable[set[bytes]]", self._redis.smembers(names.APPS))]
