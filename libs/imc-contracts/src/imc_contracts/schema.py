"""Names of the tables that command-api writes and query-api reads. Migrations create them."""

MESSAGES = "imc_message"
NOTICES = "imc_notice"
GROUPS = "imc_group"
PROJECTIONS = "imc_projection"
HEARTBEATS = "imc_heartbeat"
ERASURES = "imc_erasure"

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
"""The columns of a Message, in the order of its fields. ``app_id`` and ``message_id`` are the key."""

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
"""The columns of a Notice, in the order of its fields. ``app_id`` and ``information_id`` are the key."""

LOG_COLUMNS = ("log_id", "last_log_id")
"""Further columns of both tables: the log ids of the first and the newest event of the row, or null."""

GROUP_COLUMNS = ("app_id", "group_id", "message_total", "newest_message_id", "newest_create_time")
"""One row per group: the number of its messages and the newest one, updated by the projection."""

PROJECTION_COLUMNS = ("app_id", "epoch", "position")
"""One row per app: the position in its log up to which the database has everything.

``position`` is the id of the entry in the form of `imc_contracts.cursor.EntryId.column`. It only grows.
"""

REMOVED_TO = "removed_to"
"""A further column of `PROJECTIONS`: rows of events up to this entry may have been removed. Null if none was.

It has the form of ``position``, and only grows. It is written in the transaction that removes the rows.
"""

HEARTBEAT_COLUMNS = ("id", "beat")
"""One row, whose ``beat`` grows four times a second. A replica shows by it how far it is behind."""

ERASURE_COLUMNS = ("erasure_id", "app_id", "user_id", "group_id", "erase_time", "log_id")
"""What an erasure is about, in the order of the fields of an Erasure, and the log id of its entry."""

ERASURE_PROGRESS_COLUMNS = ("stage", "finish_time", "messages", "notices", "log_entries", "dead_letters")
"""How far an erasure is, and what it has removed. ``finish_time`` is 0 until it is done."""
