"""The tables that the command side writes and the query side reads: names only, migrations make them."""

MESSAGES = "imc_chat_message"
NOTICES = "imc_notice_information"
GROUPS = "imc_group"

MESSAGE_VIEW_COLUMNS = (
    "message_id",
    "app_id",
    "group_id",
    "user_id",
    "content",
    "create_time",
    "recall_time",
    "recall_cause",
    "status",
    "type",
)
"""The columns of a Message, in the order of its fields; the Java version has the same."""

NOTICE_VIEW_COLUMNS = (
    "information_id",
    "app_id",
    "group_id",
    "user_id",
    "title",
    "content",
    "create_time",
    "delete_time",
    "jump_url",
    "status",
    "type",
)
"""The columns of a Notice, in the order of its fields; the Java version has the same."""

LOG_COLUMNS = ("log_id", "last_log_id")
"""Beside both: the places in the log of the row's first event and of its newest, null in rows without one."""

GROUP_COLUMNS = ("app_id", "group_id", "message_total", "newest_message_id", "newest_create_time")
"""One row a group: the count of its messages and the newest of them, kept by the projection."""
