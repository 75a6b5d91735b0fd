"""The codes of replies, pushes and WebSocket closes."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Why a request was refused. Codes are stable, for clients; the message beside them is for people."""

    INVALID_FIELD = 40001
    UNAUTHENTICATED = 40101
    FORBIDDEN = 40301
    PATH_NOT_FOUND = 40400
    MESSAGE_NOT_FOUND = 40401
    NOTICE_NOT_FOUND = 40402
    GATEWAY_NOT_FOUND = 40403
    METHOD_NOT_ALLOWED = 40500
    REQUEST_TOO_SLOW = 40801
    ALREADY_RECALLED = 40901
    RECALL_WINDOW_PASSED = 40902
    NOTICE_ALREADY_DELETED = 40903
    CLIENT_MESSAGE_ID_REUSED = 40904
    REPLACED = 40905
    BODY_TOO_LARGE = 41301
    UNSUPPORTED_MEDIA_TYPE = 41500
    QUOTA_USED_UP = 42901
    HEADERS_TOO_LARGE = 43101
    INTERNAL = 50001
    UNAVAILABLE = 50301

    @property
    def is_retryable(self) -> bool:
        """Whether the same request can succeed later."""
        return self in (ErrorCode.QUOTA_USED_UP, ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE)


JAVA_ERROR = -1
"""The code of every refusal on the Java door."""


class PushCode(IntEnum):
    """The kind of a WebSocket frame to a gateway."""

    CONNECTED = 2000
    MESSAGE = 2001
    MESSAGE_RECALLED = 2002
    SEND_ACKNOWLEDGED = 2003
    NOTICE_PUBLISHED = 2004
    NOTICE_DELETED = 2005
    ERASED = 2006
    GROUPS_HELD = 2007
    POSITION = 2008
    NOT_CONNECTED = 4000
    FRAME_REFUSED = 4001
    GAP = 4002


class CloseCode(IntEnum):
    """Why a gateway's WebSocket ends.

    After 1012, 1013 and 4408: reconnect with the cursor. After other 44xx: do not retry unchanged.
    1xxx are defined by RFC 6455, section 7.4, and by the IANA registry of close codes.
    """

    GOING_AWAY = 1001
    BINARY_FRAME = 1003
    BAD_UTF8 = 1007
    BAD_REQUEST = 1008
    FRAME_TOO_LARGE = 1009
    NODE_RESTARTS = 1012
    TRY_AGAIN_LATER = 1013
    TOKEN_INVALID = 4401
    FORBIDDEN = 4403
    NO_PROGRESS = 4408
    REPLACED = 4409
    DISCONNECTED = 4410
    """By an operator."""

    @property
    def is_retryable(self) -> bool:
        """Whether to connect again with the same parameters, but for the cursor."""
        return self is CloseCode.NO_PROGRESS or (self < CloseCode.TOKEN_INVALID and self not in _FINAL)

    @property
    def is_orderly(self) -> bool:
        """Whether nobody has to look at a gateway that was closed with it."""
        return self in _ORDERLY


_ORDERLY = (
    CloseCode.GOING_AWAY,
    CloseCode.NODE_RESTARTS,
    CloseCode.TRY_AGAIN_LATER,
    CloseCode.REPLACED,
)
"""It left, comes back once IMC can serve it, or is connected already."""

_FINAL = (
    CloseCode.BINARY_FRAME,
    CloseCode.BAD_UTF8,
    CloseCode.BAD_REQUEST,
    CloseCode.FRAME_TOO_LARGE,
)
