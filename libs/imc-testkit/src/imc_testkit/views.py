"""How a row of the database must be shown, written apart from the code under test."""

from typing import Any


def message_view(row: dict[str, Any]) -> dict[str, Any]:
    """The message of a row, by the names of its columns. A recalled one has no content."""
    return {
        "messageId": str(row["message_id"]),
        "appId": row["app_id"],
        "groupId": row["group_id"],
        "userId": row["user_id"],
        "content": row["content"] if row["status"] else "",
        "createTime": row["create_time"],
        "recallTime": row["recall_time"],
        "recallCause": row["recall_cause"],
        "status": row["status"],
        "type": row["type"],
    }
