"""Finds the message or notice that a command is about, in the log and in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from imc_contracts.errors import Refused, unavailable
from imc_contracts.events import EventKind, read_message, read_notice
from imc_contracts.views import Message, Notice
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from redis.exceptions import RedisError

from imc_command_api.domain import message, notice
from imc_command_api.handlers.ports import Apps
from imc_command_api.log.recent import RecentEntries, Retired
from imc_command_api.store.lookup import find_message, find_notice

View = TypeVar("View", Message, Notice)

DATABASE_SECONDS = 2.0
"""A hung database delays the look into the log by this much and no more."""


@dataclass(frozen=True)
class _Kind(Generic[View]):
    """How to find one kind of thing: in the database by id, in the log by the event that made it."""

    stored: Callable[[Database, int, Apps], Awaitable[View | None]]
    event: EventKind
    read: Callable[[bytes], View]


_MESSAGE = _Kind(find_message, EventKind.MESSAGE_SENT, read_message)
_NOTICE = _Kind(find_notice, EventKind.NOTICE_PUBLISHED, read_notice)


class LoggedOrStored:
    """The log knows what was made within the recall window, the database what was projected."""

    def __init__(self, recent: RecentEntries, database: Database) -> None:
        self._recent = recent
        self._database = database

    async def message(self, message_id: int, apps: Apps) -> Message:
        """The message; raises `Refused` as `ports.Originals` says."""
        try:
            found = await self._find(_MESSAGE, message_id, apps)
        except Retired:
            raise message.already_recalled() from None
        if found is None:
            raise message.not_found()
        return found

    async def notice(self, information_id: int, apps: Apps) -> Notice:
        """The notice; raises `Refused` as `ports.Originals` says."""
        try:
            found = await self._find(_NOTICE, information_id, apps)
        except Retired:
            raise notice.already_deleted() from None
        if found is None:
            raise notice.not_found()
        return found

    async def _find(self, kind: _Kind[View], id_: int, apps: Apps) -> View | None:
        # Each look names its apps. What another app has is not found and then hidden, which would take
        # another time than what nobody has, but not found.
        if apps is not None and len(apps) == 1:
            (app_id,) = apps
            return await self._logged(kind, id_, app_id) or await self._stored(kind, id_, apps)
        # Of several apps the database is asked first: one look by key there, one in each app's log here.
        try:
            found, outage = await self._stored(kind, id_, apps), None
        except Refused as refused:
            found, outage = None, refused
        if found is not None:
            return found
        app_id = await self._app_of(id_, apps)
        found = await self._logged(kind, id_, app_id) if app_id is not None else None
        if found is None and outage is not None:
            raise outage
        return found

    async def _logged(self, kind: _Kind[View], id_: int, app_id: str) -> View | None:
        try:
            entry = await self._recent.find(app_id, id_, kind.event)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None
        return kind.read(entry.body) if entry is not None else None

    async def _app_of(self, id_: int, apps: Apps) -> str | None:
        try:
            return await self._recent.app_of(id_, apps)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None

    async def _stored(self, kind: _Kind[View], id_: int, apps: Apps) -> View | None:
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await kind.stored(self._database, id_, apps)
        except (StoreUnavailable, StatementRefused, TimeoutError):
            raise unavailable("the database is out of reach") from None
