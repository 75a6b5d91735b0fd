"""Turns a row of the Java version into a row of ours, or tells why it can't be one; no I/O.

The bounds are those of requests: a row that no client could have sent to IMC could not be asked for either.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from imc_contracts.fields import (
    RULES,
    AppId,
    Content,
    GroupId,
    Id,
    JumpUrl,
    MessageType,
    Milliseconds,
    ShortText,
    UserId,
)
from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, NOTICE_VIEW_COLUMNS
from imc_contracts.validation import explain
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED
from pydantic import BaseModel, ValidationError

Key = tuple[str, int]
"""The app and the id: the primary key of both tables."""


class Unfit(ValueError):
    """The row can't be one of ours; the message names the column and its bound."""


class AdoptedMessage(NamedTuple):
    """A row of `imc_contracts.schema.MESSAGES`, in the order of its columns."""

    message_id: int
    app_id: str
    group_id: str
    user_id: str
    content: str
    create_time: int
    recall_time: int
    recall_cause: str | None
    status: int
    type: int | None
    log_id: None = None
    last_log_id: None = None

    @property
    def key(self) -> Key:
        """The primary key."""
        return self.app_id, self.message_id

    def is_same(self, other: "AdoptedRow") -> bool:
        """Whether both are one message, apart from its recall. A recalled one has no content to compare."""
        if not isinstance(other, AdoptedMessage):
            return False
        mine = (self.group_id, self.user_id, self.create_time, self.type)
        if mine != (other.group_id, other.user_id, other.create_time, other.type):
            return False
        return STATUS_RETIRED in (self.status, other.status) or self.content == other.content


class AdoptedNotice(NamedTuple):
    """A row of `imc_contracts.schema.NOTICES`, in the order of its columns."""

    information_id: int
    app_id: str
    group_id: str
    user_id: str
    title: str | None
    content: str
    create_time: int
    delete_time: int
    jump_url: str | None
    status: int
    type: int | None
    log_id: None = None
    last_log_id: None = None

    @property
    def key(self) -> Key:
        """The primary key."""
        return self.app_id, self.information_id

    def is_same(self, other: "AdoptedRow") -> bool:
        """Whether both are one notice, apart from its deletion."""
        if not isinstance(other, AdoptedNotice):
            return False
        mine = self._replace(delete_time=0, status=STATUS_NORMAL)
        return mine == other._replace(delete_time=0, status=STATUS_NORMAL)


AdoptedRow = AdoptedMessage | AdoptedNotice


class _MessageFields(BaseModel):
    message_id: Id
    app_id: AppId
    group_id: GroupId
    user_id: UserId
    content: Content
    create_time: Milliseconds
    recall_time: Milliseconds
    recall_cause: ShortText | None
    status: Literal[0, 1]
    type: MessageType | None


class _NoticeFields(BaseModel):
    information_id: Id
    app_id: AppId
    group_id: GroupId
    user_id: UserId
    title: ShortText | None
    content: Content
    create_time: Milliseconds
    delete_time: Milliseconds
    jump_url: JumpUrl | None
    status: Literal[0, 1]
    type: MessageType | None


_RULES = {
    "message_id": "the decimal number of an id, 1 to 9223372036854775807, without zeros in front",
    "information_id": "the decimal number of an id, 1 to 9223372036854775807, without zeros in front",
    "app_id": RULES["appId"],
    "group_id": RULES["groupId"],
    "user_id": RULES["userId"],
    "content": RULES["content"],
    "create_time": RULES["startTime"],
    "recall_time": RULES["startTime"],
    "recall_cause": RULES["recallCause"],
    "delete_time": RULES["startTime"],
    "title": RULES["title"],
    "jump_url": RULES["jumpUrl"],
    "status": "0 or 1, or null",
    "type": RULES["type"],
}
_INSTEAD_OF_NULL = {
    "content": "",
    "create_time": 0,
    "recall_time": 0,
    "delete_time": 0,
    "status": STATUS_NORMAL,
}
"""What the Java version means by NULL. Other columns are null in ours too, or must have a value."""


def message_of(values: Sequence[Any]) -> AdoptedMessage:
    """The row made of the values of `MESSAGE_VIEW_COLUMNS`; a recalled message loses its content.

    Raises `Unfit`.
    """
    columns = _without_nulls(MESSAGE_VIEW_COLUMNS, values)
    if columns["status"] == STATUS_RETIRED:
        columns["content"] = ""
    return AdoptedMessage(**_checked(_MessageFields, columns, "message_id"))


def notice_of(values: Sequence[Any]) -> AdoptedNotice:
    """The row made of the values of `NOTICE_VIEW_COLUMNS`; raises `Unfit`."""
    return AdoptedNotice(
        **_checked(_NoticeFields, _without_nulls(NOTICE_VIEW_COLUMNS, values), "information_id")
    )


def _without_nulls(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {
        name: _INSTEAD_OF_NULL.get(name) if value is None else value
        for name, value in zip(names, values, strict=True)
    }


def _checked(model: type[BaseModel], columns: dict[str, Any], key: str) -> dict[str, Any]:
    for name, value in columns.items():
        if isinstance(value, bytes):
            raise Unfit(f"{name} is not valid: it must be text in UTF-8")
    try:
        fields = model.__pydantic_validator__.validate_python(columns)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        raise Unfit(explain(errors, rules=_RULES)) from None
    checked = fields.__dict__
    if str(checked[key]) != str(columns[key]):
        # Clients know the id as it is written: "041" is another one than "41".
        raise Unfit(f"{key} is not valid: it must be {_RULES[key]}")
    return checked
