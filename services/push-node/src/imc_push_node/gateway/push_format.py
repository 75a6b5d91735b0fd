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
    EVENTS = "events"
    """As `V1`, each push as an event of an event stream (HTML Standard, section 9.2)."""
    EVENTS_WITH_NOTICES = "events with notices"
    """The same, and pushes of notices."""

    has_cursors: bool
    has_notices: bool
    encoding: str
    """A push has the same bytes in all formats with the same encoding."""

    def __init__(self, name: str) -> None:
        self.encoding = name.removesuffix(" with notices")
        self.has_cursors = name != "java"
        self.has_notices = name != self.encoding

    @property
    def is_event_stream(self) -> bool:
        """Whether pushes are events of an event stream, not frames of a WebSocket."""
        return self.encoding == "events"

    # The hash of Enum is written in Python, which is slow for the lookups in every push.
    __hash__ = object.__hash__
