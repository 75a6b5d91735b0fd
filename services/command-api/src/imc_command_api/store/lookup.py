"""Looks up the message or notice that a command is about, in the log and in the database.

The log remembers what was made within the recall window. The database has what is projected. The database is
the primary, never a replica.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from imc_contracts.errors import Refused, unavailable
from imc_contracts.events import EventKind, read_message, read_notice
from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, MESSAGES, NOTICE_VIEW_COLUMNS, NOTICES
from imc_contracts.views import Message, Notice
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from redis.exceptions import RedisError

from imc_command_api.domain import message, notice
from imc_command_api.handlers.ports import Apps
from imc_command_api.log.recent import RecentEntries, Retired

View = TypeVar("View", Message, Notice)

DATABASE_SECONDS = 2.0
"""How long a database that hangs delays the lookup in the log."""

_SELECT_MESSAGE = f"SELECT {', '.join(MESSAGE_VIEW_COLUMNS)} FROM {MESSAGES} WHERE message_id = ?"  # noqa: S608
_SELECT_NOTICE = f"SELECT {', '.join(NOTICE_VIEW_COLUMNS)} FROM {NOTICES} WHERE information_id = ?"  # noqa: S608
_MESSAGE_FIELDS = tuple(Message.__annotations__)
_NOTICE_FIELDS = tuple(Notice.__annotations__)


async def find_message(database: Database, message_id: int, apps: Apps = None) -> Message | None:
    """The message, if the database has it in one of ``apps``; raises `StoreUnavailable`."""
    rows = await database.fetch_all(*_within(_SELECT_MESSAGE, message_id, apps))
    if not rows:
        return None
    return cast(Message, dict(zip(_MESSAGE_FIELDS, (str(message_id), *rows[0][1:]), strict=True)))


async def find_notice(database: Database, information_id: int, apps: Apps = None) -> Notice | None:
    """The notice, if the database has it in one of ``apps``; raises `StoreUnavailable`."""
    rows = await database.fetch_all(*_within(_SELECT_NOTICE, information_id, apps))
    if not rows:
        return None
    return cast(Notice, dict(zip(_NOTICE_FIELDS, (str(information_id), *rows[0][1:]), strict=True)))


def _within(statement: str, id_: int, apps: Apps) -> tuple[str, tuple[int | str, ...]]:
    """The statement limited to ``apps``, and its values: rows of other apps are never read."""
    if apps is None:
        return statement, (id_,)
    placeholders = ", ".join("?" * len(apps)) or "NULL"
    return f"{statement} AND app_id IN ({placeholders})", (id_, *sorted(apps))


@dataclass(frozen=True)
class _Kind(Generic[View]):
    """How to find messages or notices: in the database, and in the log by the event that made them."""

    stored: Callable[[Database, int, Apps], Awaitable[View | None]]
    event: EventKind
    read: Callable[[bytes], View]


_MESSAGE = _Kind(find_message, EventKind.MESSAGE_SENT, read_message)
_NOTICE = _Kind(find_notice, EventKind.NOTICE_PUBLISHED, read_notice)


class LogAndDatabaseLookup:
    """Implements `ports.Lookup`."""

    def __init__(self, recent: RecentEntries, database: Database) -> None:
        self._recent = recent
        self._database = database

    async def message(self, message_id: int, apps: Apps) -> Message:
        """The message; raises `Refused` as `ports.Lookup` says."""
        try:
            found = await self._find(_MESSAGE, message_id, apps)
        except Retired:
            raise message.already_recalled() from None
        if found is None:
            raise message.not_found()
        return found

    async def notice(self, information_id: int, apps: Apps) -> Notice:
        """The notice; raises `Refused` as `ports.Lookup` says."""
        try:
            found = await self._find(_NOTICE, information_id, apps)
        except Retired:
            raise notice.already_deleted() from None
        if found is None:
            raise notice.not_found()
        return found

    async def _find(self, kind: _Kind[View], id_: int, apps: Apps) -> View | None:
        # Every lookup is limited to the apps. If another app's message were found and then hidden, the time
        # that takes would tell that it exists.
        if apps is not None and len(apps) == 1:
            (app_id,) = apps
            return await self._logged(kind, id_, app_id) or await self._stored(kind, id_, apps)
        # With several apps the database comes first: it takes one lookup by key, the logs take one each.
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
