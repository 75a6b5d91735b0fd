"""The two tables of the Java version, and what each becomes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, MESSAGES, NOTICE_VIEW_COLUMNS, NOTICES

from imc_command_api.migrations.adopt.rows import (
    AdoptedMessage,
    AdoptedNotice,
    AdoptedRow,
    message_of,
    notice_of,
)


@dataclass(frozen=True)
class JavaTable:
    """A table of the Java version. Its columns have the names of ours, with an ``id`` in front."""

    name: str
    target: str
    columns: Sequence[str]
    """Those that are copied. The first one is the id that clients know."""

    numbers: Collection[str]
    """Those that are numbers; the others are texts."""

    long_columns: Sequence[str]
    """Those whose texts may be long: they decide how many rows fit into memory."""

    convert: Callable[[Sequence[Any]], AdoptedRow]
    row: Callable[..., AdoptedRow]
    """Makes a row of ours of the values of those columns."""

    retires: str
    """What is said of a row whose status changes: recalled or deleted."""


JAVA_MESSAGES = JavaTable(
    "imc_chat_message",
    MESSAGES,
    MESSAGE_VIEW_COLUMNS,
    ("create_time", "recall_time", "status", "type"),
    ("content",),
    message_of,
    AdoptedMessage,
    "recalled",
)
JAVA_NOTICES = JavaTable(
    "imc_notice_information",
    NOTICES,
    NOTICE_VIEW_COLUMNS,
    ("create_time", "delete_time", "status", "type"),
    ("content", "jump_url"),
    notice_of,
    AdoptedNotice,
    "deleted",
)
