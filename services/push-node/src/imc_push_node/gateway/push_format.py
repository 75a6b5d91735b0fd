"""In which form a gateway gets its pushes."""

from enum import Enum


class PushFormat(Enum):
    """The door that a gateway came by, and what it asked for there."""

    V1 = "v1"
    """Pushes of messages, each with its cursor. Gaps are announced."""
    V1_WITH_NOTICES = "v1 with notices"
    """The same, and pushes of notices."""
    JAVA = "java"
    """Pushes of messages with the fields of the Java version alone: no cursors, no gaps."""

    has_cursors: bool
    has_notices: bool

    def __init__(self, name: str) -> None:
        self.has_cursors = name != "java"
        self.has_notices = name == "v1 with notices"

    # The hash of Enum is written in Python, which is slow for the lookups in every push.
    __hash__ = object.__hash__
