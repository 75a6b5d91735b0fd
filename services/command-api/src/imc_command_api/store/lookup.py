"""Looks up the message or notice that a command is about, in the log and in the database.

The log remembers what was made within the recall window. The database has what is projected. The database is
the primary, never a replica.

Commands of the Java version name no app. The app of a message is then the one whose log remembers it: after
the recall window it can't be recalled anyway. Notices can be deleted at any time, so that the database finds
the app of a notice by its id.
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
Found = TypeVar("Found")

DATABASE_SECONDS = 2.0
"""How long a database that hangs delays the lookup in the log."""

SELECT_MESSAGE = (
    f"SELECT {', '.join(MESSAGE_VIEW_COLUMNS)} FROM {MESSAGES} WHERE app_id = ? AND message_id = ?"  # noqa: S608
)
SELECT_NOTICE = (
    f"SELECT {', '.join(NOTICE_VIEW_COLUMNS)} FROM {NOTICES} WHERE app_id = ? AND information_id = ?"  # noqa: S608
)
SELECT_APPS_OF_NOTICE = f"SELECT app_id FROM {NOTICES} WHERE information_id = ?"  # noqa: S608
_MESSAGE_FIELDS = tuple(Message.__annotations__)
_NOTICE_FIELDS = tuple(Notice.__annotations__)


async def find_message(database: Database, app_id: str, message_id: int) -> Message | None:
    """The message, if the database has it; raises `StoreUnavailable`."""
    rows = await database.fetch_all(SELECT_MESSAGE, (app_id, message_id))
    if not rows:
        return None
    return cast(Message, dict(zip(_MESSAGE_FIELDS, (str(message_id), *rows[0][1:]), strict=True)))


async def find_notice(database: Database, app_id: str, information_id: int) -> Notice | None:
    """The notice, if the database has it; raises `StoreUnavailable`."""
    rows = await database.fetch_all(SELECT_NOTICE, (app_id, information_id))
    if not rows:
        return None
    return cast(Notice, dict(zip(_NOTICE_FIELDS, (str(information_id), *rows[0][1:]), strict=True)))


async def find_apps_of_notice(database: Database, information_id: int, apps: Apps) -> list[str]:
    """Those of ``apps`` that have a notice with this id in the database; raises `StoreUnavailable`.

    More than one can have it only if their notices were copied from the Java version.
    """
    sql, values = SELECT_APPS_OF_NOTICE, [information_id, *sorted(apps or ())]
    if apps is not None:
        # Rows of other apps are not read: the time that takes would tell that they exist.
        sql += f" AND app_id IN ({', '.join('?' * len(apps)) or 'NULL'})"
    return [row[0] for row in await database.fetch_all(sql, values)]


@dataclass(frozen=True)
class _Kind(Generic[View]):
    """How to find messages or notices: in the database, and in the log by the event that made them."""

    stored: Callable[[Database, str, int], Awaitable[View | None]]
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
        app_id = _only(apps) or await self._remembering(message_id, apps)
        try:
            found = await self._find(_MESSAGE, app_id, message_id) if app_id is not None else None
        except Retired:
            raise message.already_recalled() from None
        if found is None:
            raise message.not_found()
        return found

    async def notice(self, information_id: int, apps: Apps) -> Notice:
        """The notice; raises `Refused` as `ports.Lookup` says."""
        app_id = _only(apps) or await self._app_of_notice(information_id, apps)
        try:
            found = await self._find(_NOTICE, app_id, information_id) if app_id is not None else None
        except Retired:
            raise notice.already_deleted() from None
        if found is None:
            raise notice.not_found()
        return found

    async def _find(self, kind: _Kind[View], app_id: str, id_: int) -> View | None:
        return await self._logged(kind, app_id, id_) or await self._stored(
            kind.stored(self._database, app_id, id_)
        )

    async def _app_of_notice(self, information_id: int, apps: Apps) -> str | None:
        # The database first: it takes one lookup in an index, the logs take one each.
        try:
            found, outage = (
                await self._stored(find_apps_of_notice(self._database, information_id, apps)),
                None,
            )
        except Refused as refused:
            found, outage = [], refused
        if len(found) > 1:
            raise notice.of_several_apps()
        app_id = found[0] if found else await self._remembering(information_id, apps)
        if app_id is None and outage is not None:
            raise outage
        return app_id

    async def _remembering(self, id_: int, apps: Apps) -> str | None:
        """The one of ``apps`` whose log remembers ``id_``. Other apps are not asked: that would take time."""
        try:
            return await self._recent.app_of(id_, apps)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None

    async def _logged(self, kind: _Kind[View], app_id: str, id_: int) -> View | None:
        try:
            entry = await self._recent.find(app_id, id_, kind.event)
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None
        return kind.read(entry.body) if entry is not None else None

    async def _stored(self, found: Awaitable[Found]) -> Found:
        """What the database finds; raises `Refused` (`UNAVAILABLE`)."""
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await found
        except (StoreUnavailable, StatementRefused, TimeoutError):
            raise unavailable("the database is out of reach") from None


def _only(apps: Apps) -> str | None:
    """The app, if it is one."""
    return next(iter(apps)) if apps is not None and len(apps) == 1 else None
