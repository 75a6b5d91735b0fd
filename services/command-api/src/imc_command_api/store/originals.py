"""Finds the message or notice that a command is about, in the log and in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from imc_contracts.errors import Refused, unavailable
from imc_contracts.events import EventKind, read_message, read_notice
from imc_contracts.views import Message, Notice
from imc_service.database import Database, StatementRefused, StoreUnavailable
from redis.exceptions import RedisError

from imc_command_api.domain import message, notice
from imc_command_api.log.recent import RecentEntries, Retired
from imc_command_api.store.lookup import find_message, find_notice

View = TypeVar("View", Message, Notice)

DATABASE_SECONDS = 2.0
"""A hung database delays the look into the log by this much and no more."""


@dataclass(frozen=True)
class _Kind(Generic[View]):
    """How to find one kind of thing: in the database by id, in the log by the event that made it."""

    stored: Callable[[Database, int], Awaitable[View | None]]
    event: EventKind
    read: Callable[[bytes], View]


_MESSAGE = _Kind(find_message, EventKind.MESSAGE_SENT, read_message)
_NOTICE = _Kind(find_notice, EventKind.NOTICE_PUBLISHED, read_notice)


class LoggedOrStored:
    """The log knows what was made within the recall window, the database what was projected."""

    def __init__(self, recent: RecentEntries, database: Database) -> None:
        self._recent = recent
        self._database = database

    async def message(self, message_id: int, app_id: str | None) -> Message:
        """The message; raises `Refused` as `ports.Originals` says."""
        try:
            found = await self._find(_MESSAGE, message_id, app_id)
        except Retired:
            raise message.already_recalled() from None
        if found is None:
            raise message.not_found()
        return found

    async def notice(self, information_id: int, app_id: str | None) -> Notice:
        """The notice; raises `Refused` as `ports.Originals` says."""
        try:
            found = await self._find(_NOTICE, information_id, app_id)
        except Retired:
            raise notice.already_deleted() from None
        if found is None:
            raise notice.not_found()
        return found

    async def _find(self, kind: _Kind[View], id_: int, app_id: str | None) -> View | None:
        if app_id is not None:
            found = await self._logged(kind, id_, app_id) or await self._stored(kind, id_)
            # Another app's is as absent as one that never was: the answer must not tell them apart.
            return found if found is not None and found["appId"] == app_id else None
        # Without an app the database is asked first: one look by key there, one in each app's log here.
        try:
            found, outage = await self._stored(kind, id_), None
        except Refused as refused:
            found, outage = None, refused
        if found is not None:
            return found
        app_id = await self._app_of(id_)
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

    async def _app_of(self, id_: int) -> str | None:
        try:
            return await self._recent.app_of(id_)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None

    async def _stored(self, kind: _Kind[View], id_: int) -> View | None:
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await kind.stored(self._database, id_)
        except (StoreUnavailable, StatementRefused, TimeoutError):
            raise unavailable("the database is out of reach") from None
