"""Turns an entry of a log into the change that it makes to one row; no I/O.

An entry makes a row (a send, a publication, an erasure) or retires it (a recall, a deletion). Each entry
holds everything that the row needs, so the two may come in either order.
"""

from typing import NamedTuple

from imc_contracts.events import (
    Entry,
    EventKind,
    MalformedEvent,
    read_erasure,
    read_message,
    read_notice,
)
from imc_contracts.fields import INT32_MAX, INT64_MAX, MAX_CONTENT_BYTES
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED, Message, Notice


class MessageRow(NamedTuple):
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
    log_id: str | None
    last_log_id: str


class NoticeRow(NamedTuple):
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
    log_id: str | None
    last_log_id: str


class ErasureRow(NamedTuple):
    """A new row of `imc_contracts.schema.ERASURES`, in the order of `ERASURE_COLUMNS`."""

    erasure_id: int
    app_id: str
    user_id: str | None
    group_id: str | None
    erase_time: int
    log_id: str


Row = MessageRow | NoticeRow | ErasureRow


def row_of(app_id: str, entry: Entry) -> Row:
    """The row as it is if ``entry`` is the only one about it.

    ``log_id`` is None if ``entry`` retires the row: only the entry that made it tells where it was made.
    Raises `MalformedEvent` for a body of another kind or app, or one that no row can hold.
    """
    if entry.kind.is_notice:
        notice = read_notice(entry.body)
        _check(app_id, notice, notice["informationId"], notice["deleteTime"])
        _check_text("title", notice["title"], 255)
        _check_text("jumpUrl", notice["jumpUrl"], 2048)
        return _notice_row(entry, notice)
    if entry.kind is EventKind.ERASURE:
        return _erasure_row(app_id, entry)
    message = read_message(entry.body)
    _check(app_id, message, message["messageId"], message["recallTime"])
    _check_text("recallCause", message["recallCause"], 255)
    return _message_row(entry, message)


def _message_row(entry: Entry, message: Message) -> MessageRow:
    log_id = entry.id.column
    recalled = entry.kind is EventKind.MESSAGE_RECALLED
    return MessageRow(
        int(message["messageId"]),
        message["appId"],
        message["groupId"],
        message["userId"],
        "" if recalled else message["content"],
        message["createTime"],
        message["recallTime"] if recalled else 0,
        message["recallCause"] if recalled else None,
        STATUS_RETIRED if recalled else STATUS_NORMAL,
        message["type"],
        None if recalled else log_id,
        log_id,
    )


def _notice_row(entry: Entry, notice: Notice) -> NoticeRow:
    log_id = entry.id.column
    deleted = entry.kind is EventKind.NOTICE_DELETED
    return NoticeRow(
        int(notice["informationId"]),
        notice["appId"],
        notice["groupId"],
        notice["userId"],
        notice["title"],
        notice["content"],
        notice["createTime"],
        notice["deleteTime"] if deleted else 0,
        notice["jumpUrl"],
        STATUS_RETIRED if deleted else STATUS_NORMAL,
        notice["type"],
        None if deleted else log_id,
        log_id,
    )


def _erasure_row(app_id: str, entry: Entry) -> ErasureRow:
    erasure = read_erasure(entry.body)
    user_id, group_id, erase_time = erasure["userId"], erasure["groupId"], erasure["eraseTime"]
    names = [name for name in (user_id, group_id) if name is not None]
    if len(names) == 2:
        raise MalformedEvent("the erasure is of a user and of a group")
    _check_key(app_id, erasure["appId"], erasure["erasureId"])
    _check_names(*names)
    if not 0 <= erase_time <= INT64_MAX:
        raise MalformedEvent("a time is out of bounds")
    erasure_id = int(erasure["erasureId"])
    return ErasureRow(erasure_id, app_id, user_id, group_id, erase_time, entry.id.column)


def _check(app_id: str, view: Message | Notice, key: str, retire_time: int) -> None:
    """Refuse what the tables can't hold. An entry made by hand must not stop the others of its batch."""
    _check_key(app_id, view["appId"], key)
    _check_names(view["groupId"], view["userId"])
    content = view["content"]
    if len(content) * 4 > MAX_CONTENT_BYTES and len(content.encode()) > MAX_CONTENT_BYTES:
        raise MalformedEvent("the content is too long")
    if not (0 <= view["createTime"] <= INT64_MAX and 0 <= retire_time <= INT64_MAX):
        raise MalformedEvent("a time is out of bounds")
    number = view["type"]
    if number is not None and not -INT32_MAX - 1 <= number <= INT32_MAX:
        raise MalformedEvent("the type is out of bounds")


def _check_key(app_id: str, app_of_body: str, key: str) -> None:
    if app_of_body != app_id:
        raise MalformedEvent("the body is of another app than the log")
    # The length first: Python takes quadratic time to read a long number, or refuses it.
    if not (len(key) <= 19 and key.isascii() and key.isdigit() and 1 <= int(key) <= INT64_MAX):
        raise MalformedEvent("the id is no decimal number from 1 to 2^63-1")


def _check_names(*names: str) -> None:
    for name in names:
        # Tables may ignore a space at the end when they compare.
        if not 1 <= len(name) <= 127 or name[-1] == " ":
            raise MalformedEvent("the groupId or userId is none")


def _check_text(name: str, text: str | None, length: int) -> None:
    if text is not None and len(text) > length:
        raise MalformedEvent(f"the {name} is too long")
