"""Converts rows to views. Written out field by field for speed: this is most of the cost of a page."""

from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, NOTICE_VIEW_COLUMNS
from imc_contracts.views import STATUS_RETIRED, Message, Notice
from imc_service.database.database import Row

MESSAGE_COLUMNS = ", ".join(f"m.{column}" for column in MESSAGE_VIEW_COLUMNS)
"""The columns that `message_of` reads, of the table alias ``m``."""

NOTICE_COLUMNS = ", ".join(f"m.{column}" for column in NOTICE_VIEW_COLUMNS)
"""The columns that `notice_of` reads, of the table alias ``m``."""


def message_of(row: Row) -> Message:
    """The message in a row that begins with `MESSAGE_COLUMNS`.

    The content of a recalled message is empty, even if the column is not.
    """
    message_id, app_id, group_id, user_id, content, create_time, recall_time, cause, status, kind = row[:10]
    return {
        "messageId": str(message_id),
        "appId": app_id,
        "groupId": group_id,
        "userId": user_id,
        "content": "" if status == STATUS_RETIRED else content,
        "createTime": create_time,
        "recallTime": recall_time,
        "recallCause": cause,
        "status": status,
        "type": kind,
    }


def notice_of(row: Row) -> Notice:
    """The notice in a row of `NOTICE_COLUMNS`."""
    notice_id, app_id, group_id, user_id, title, content, create_time, delete_time, url, status, kind = row
    return {
        "informationId": str(notice_id),
        "appId": app_id,
        "groupId": group_id,
        "userId": user_id,
        "title": title,
        "content": content,
        "createTime": create_time,
        "deleteTime": delete_time,
        "jumpUrl": url,
        "status": status,
        "type": kind,
    }


def message_place(row: Row) -> tuple[int, int]:
    """The sort key of a message: time, then id."""
    return row[5], row[0]


def notice_place(row: Row) -> tuple[int, int]:
    """The sort key of a notice: time, then id."""
    return row[6], row[0]
