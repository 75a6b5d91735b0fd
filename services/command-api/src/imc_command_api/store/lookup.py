"""Single rows as the commands need them: read from the primary, never from a replica."""

from typing import cast

from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, MESSAGES, NOTICE_VIEW_COLUMNS, NOTICES
from imc_contracts.views import Message, Notice
from imc_service.database import Database

_MESSAGE = f"SELECT {', '.join(MESSAGE_VIEW_COLUMNS)} FROM {MESSAGES} WHERE message_id = ?"  # noqa: S608
_NOTICE = f"SELECT {', '.join(NOTICE_VIEW_COLUMNS)} FROM {NOTICES} WHERE information_id = ?"  # noqa: S608
_MESSAGE_FIELDS = tuple(Message.__annotations__)
_NOTICE_FIELDS = tuple(Notice.__annotations__)


async def find_message(database: Database, message_id: int) -> Message | None:
    """The message, if the database has it already. Raises `StoreUnavailable`."""
    rows = await database.fetch_all(_MESSAGE, (message_id,))
    if not rows:
        return None
    return cast(Message, dict(zip(_MESSAGE_FIELDS, (str(message_id), *rows[0][1:]), strict=True)))


async def find_notice(database: Database, information_id: int) -> Notice | None:
    """The notice, if the database has it already. Raises `StoreUnavailable`."""
    rows = await database.fetch_all(_NOTICE, (information_id,))
    if not rows:
        return None
    return cast(Notice, dict(zip(_NOTICE_FIELDS, (str(information_id), *rows[0][1:]), strict=True)))
