"""Single rows as the commands need them: read from the primary, never from a replica."""

from typing import cast

from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, MESSAGES, NOTICE_VIEW_COLUMNS, NOTICES
from imc_contracts.views import Message, Notice
from imc_service.database.database import Database

Apps = frozenset[str] | None

_MESSAGE = f"SELECT {', '.join(MESSAGE_VIEW_COLUMNS)} FROM {MESSAGES} WHERE message_id = ?"  # noqa: S608
_NOTICE = f"SELECT {', '.join(NOTICE_VIEW_COLUMNS)} FROM {NOTICES} WHERE information_id = ?"  # noqa: S608
_MESSAGE_FIELDS = tuple(Message.__annotations__)
_NOTICE_FIELDS = tuple(Notice.__annotations__)


async def find_message(database: Database, message_id: int, apps: Apps = None) -> Message | None:
    """The message, if the database has it already, in one of ``apps``. Raises `StoreUnavailable`."""
    rows = await database.fetch_all(*_within(_MESSAGE, message_id, apps))
    if not rows:
        return None
    return cast(Message, dict(zip(_MESSAGE_FIELDS, (str(message_id), *rows[0][1:]), strict=True)))


async def find_notice(database: Database, information_id: int, apps: Apps = None) -> Notice | None:
    """The notice, if the database has it already, in one of ``apps``. Raises `StoreUnavailable`."""
    rows = await database.fetch_all(*_within(_NOTICE, information_id, apps))
    if not rows:
        return None
    return cast(Notice, dict(zip(_NOTICE_FIELDS, (str(information_id), *rows[0][1:]), strict=True)))


def _within(statement: str, id_: int, apps: Apps) -> tuple[str, tuple[int | str, ...]]:
    """The statement and its values. The app is part of it, so that another app's row is never even read."""
    if apps is None:
        return statement, (id_,)
    places = ", ".join("?" * len(apps)) or "NULL"
    return f"{statement} AND app_id IN ({places})", (id_, *sorted(apps))
