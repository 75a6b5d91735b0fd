"""The differences between messages and notices, for statements that read both alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from imc_contracts.codes import ErrorCode
from imc_contracts.schema import MESSAGES, NOTICES
from imc_contracts.views import Message, Notice
from imc_service.database.database import Row

from imc_query_api.queries.views import (
    MESSAGE_COLUMNS,
    NOTICE_COLUMNS,
    message_of,
    message_place,
    notice_of,
    notice_place,
)

View = TypeVar("View", Message, Notice)


@dataclass(frozen=True, slots=True)
class Table(Generic[View]):
    """A table of messages or of notices."""

    name: str
    key: str
    columns: str
    """The columns that ``view_of`` reads, of the table alias ``m``."""

    indexes: Mapping[tuple[str, ...], str]
    """The index that selects rows by these columns and lists them by time and key."""

    view_of: Callable[[Row], View]
    sort_key_of: Callable[[Row], tuple[int, int]]
    """The sort key of a row: time, then key."""

    not_found: ErrorCode
    """The refusal for an id that no row has."""

    noun: str
    """What a row is called in refusals."""


def _indexes(prefix: str) -> dict[tuple[str, ...], str]:
    return {
        ("app_id", "group_id"): f"{prefix}_group",
        ("app_id", "user_id"): f"{prefix}_user",
        ("app_id", "user_id", "group_id"): f"{prefix}_user_group",
    }


MESSAGE_TABLE = Table(
    MESSAGES,
    "message_id",
    MESSAGE_COLUMNS,
    _indexes("imc_message"),
    message_of,
    message_place,
    ErrorCode.MESSAGE_NOT_FOUND,
    "message",
)
NOTICE_TABLE = Table(
    NOTICES,
    "information_id",
    NOTICE_COLUMNS,
    _indexes("imc_notice"),
    notice_of,
    notice_place,
    ErrorCode.NOTICE_NOT_FOUND,
    "notice",
)
