"""Names of the tables that command-api writes and query-api reads. Migrations create them."""

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
"""Further columns of both tables: the log ids of the first and the newest event of the row, or null."""

GROUP_COLUMNS = ("app_id", "group_id", "message_total", "newest_message_id", "newest_create_time")
"""One row per group: the number of its messages and the newest one, updated by the projection."""
