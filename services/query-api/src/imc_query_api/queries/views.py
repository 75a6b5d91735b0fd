"""Rows as the wire shows them. Written out field by field: most of a page's cost here is in these lines."""

from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, NOTICE_VIEW_COLUMNS
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED, Message, Notice
from imc_service.database import Row

MESSAGE_COLUMNS = ", ".join(f"m.{column}" for column in MESSAGE_VIEW_COLUMNS)
"""What `message_of` reads, of a table called ``m`` in the statement."""

NOTICE_COLUMNS = ", ".join(f"m.{column}" for column in NOTICE_VIEW_COLUMNS)
"""What `notice_of` reads, of a table called ``m`` in the statement."""


def message_of(row: Row) -> Message:
    """The message in a row that begins with `MESSAGE_COLUMNS`.

    A recalled one shows no content, whatever the column holds: rows of the Java version kept it. Those rows
    may also lack the time of recall and the status: null means what a new message has.
    """
    message_id, app_id, group_id, user_id, content, create_time, recall_time, cause, status, kind = row[:10]
    retired = status == STATUS_RETIRED
    return {
        "messageId": str(message_id),
        "appId": app_id,
        "groupId": group_id,
        "userId": user_id,
        "content": "" if retired else content,
        "createTime": create_time,
        "recallTime": recall_time or 0,
        "recallCause": cause,
        "status": STATUS_RETIRED if retired else STATUS_NORMAL,
        "type": kind,
    }


def notice_of(row: Row) -> Notice:
    """The notice in a row of `NOTICE_COLUMNS`; nulls as in `message_of`."""
    notice_id, app_id, group_id, user_id, title, content, create_time, delete_time, url, status, kind = row
    return {
        "informationId": str(notice_id),
        "appId": app_id,
        "groupId": group_id,
        "userId": user_id,
        "title": title,
        "content": content,
        "createTime": create_time,
        "deleteTime": delete_time or 0,
        "jumpUrl": url,
        "status": STATUS_RETIRED if status == STATUS_RETIRED else STATUS_NORMAL,
        "type": kind,
    }


def message_place(row: Row) -> tuple[int, int]:
    """Where the message stands in the order of all messages: its time, then its id."""
    return row[5], row[0]


def notice_place(row: Row) -> tuple[int, int]:
    """Where the notice stands in the order of all notices: its time, then its id."""
    return row[6], row[0]
