"""Looks up messages and notices in the log by id, while the database may not have them."""

from collections.abc import Awaitable
from typing import cast

from imc_contracts import names
from imc_contracts.events import Entry, EventKind, MalformedEvent, read_entry
from imc_service.redis.masters import Masters

from imc_command_api.domain.ids import time_of
from imc_command_api.log.script import MINUTE_MS


class Retired(Exception):
    """The message was recalled, or the notice deleted."""


class RecentEntries:
    """Finds the event that made a message or notice, while the log remembers its entry."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    async def find(self, app_id: str, id_: int, kind: EventKind) -> Entry | None:
        """The entry of ``kind`` that made ``id_`` in this app, or None if the log does not remember it.

        Raises `Retired`, and what redis-py raises.
        """
        key = names.recent(names.shard_of(app_id), time_of(id_) // MINUTE_MS)
        fields = [str(id_), f"{id_} {app_id}"]
        made, retired = await self._masters.run(
            key, lambda redis: cast("Awaitable[list[bytes | None]]", redis.hmget(key, fields))
        )
        if retired is not None:
            raise Retired(id_)
        if made is None:
            return None
        entry_id, app = _placed(made)
        if app != app_id:
            return None
        return await self._entry(app_id, entry_id, kind)

    async def app_of(self, id_: int, apps: frozenset[str] | None = None) -> str | None:
        """The app among ``apps``, or among all, whose log remembers ``id_``. For calls that name no app.

        Ids are unique across apps, so at most one log remembers it.
        """
        minute = time_of(id_) // MINUTE_MS
        shards = range(names.SHARDS) if apps is None else sorted({names.shard_of(app) for app in apps})
        keys = [names.recent(shard, minute) for shard in shards]
        replies = await self._masters.each([(key, ("HGET", key, id_)) for key in keys])
        for reply in replies:
            if isinstance(reply, bytes):
                _, app = _placed(reply)
                if apps is None or app in apps:
                    return app
        # Not found where an answer came: it may be where none came from.
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return None

    async def _entry(self, app_id: str, entry_id: str, kind: EventKind) -> Entry | None:
        log = names.log(app_id)
        entries = cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            await self._masters.run(log, lambda redis: redis.xrange(log, entry_id, entry_id)),
        )
        try:
            entry = read_entry(*entries[0]) if entries else None
        except MalformedEvent:
            return None
        return entry if entry is not None and entry.kind is kind else None


def _placed(made: bytes) -> tuple[str, str]:
    """The entry and the app of what was made."""
    entry_id, _, app_id = made.decode().partition(" ")
    return entry_id, app_id
