"""What a gateway is told, as bytes ready for its socket: WebSocket text frames that hold one envelope each.

A frame of a server is not masked (RFC 6455, section 5.1). So one encoding serves all gateways of a format.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode, PushCode
from imc_contracts.cursor import Cursor
from imc_contracts.envelope import encode
from imc_contracts.events import Entry, EventKind

from imc_push_node.gateway.push_format import PushFormat

_PUSHES = {
    EventKind.MESSAGE_SENT: (PushCode.MESSAGE, "new message"),
    EventKind.MESSAGE_RECALLED: (PushCode.MESSAGE_RECALLED, "message recalled"),
    EventKind.NOTICE_PUBLISHED: (PushCode.NOTICE_PUBLISHED, "notice published"),
    EventKind.NOTICE_DELETED: (PushCode.NOTICE_DELETED, "notice deleted"),
}
_V1_HEADS = {
    kind: b'{"success":true,"code":%d,"message":"%b","data":' % (code, words.encode())
    for kind, (code, words) in _PUSHES.items()
}
_JAVA_HEADS = {
    kind: b'{"success":true,"code":%d,"message":"success","data":' % code
    for kind, (code, _) in _PUSHES.items()
}

_MS_PER_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message that a gateway wrote was not accepted. ``reason`` is for people."""

    error: ErrorCode
    reason: str
    client_message_id: str | None = None
    """The message's own id, if it had one."""
    index: int | None = None
    """The message's index, if its frame was a list."""
    retry_after: int | None = None
    """After how many seconds to retry, if that is known."""

    @property
    def is_retryable(self) -> bool:
        """Whether to write the same message again.

        After `ErrorCode.INTERNAL` the message may be in the log: only its own id keeps it from becoming two.
        """
        may_be_accepted = self.error is ErrorCode.INTERNAL
        return self.error.is_retryable and not (may_be_accepted and self.client_message_id is None)


def text_frame(payload: bytes) -> bytes:
    """Put ``payload`` (UTF-8) into one text frame."""
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:
        return b"\x81\x7e%c%c%b" % (size >> 8, size & 0xFF, payload)  # two bytes, big-endian
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


def pushes(push_format: PushFormat, epoch: str, entries: Iterable[Entry]) -> list[bytes]:
    """2001, 2002, 2004 or 2005 of each entry. Its body is passed on as it is in the log, unread."""
    if not push_format.has_cursors:
        return [text_frame(b"%b%b}" % (_JAVA_HEADS[kind], body)) for _, kind, body in entries]
    cursor = b',"cursor":"%b.' % epoch.encode()
    return [
        text_frame(b'%b%b%b%b"}' % (_V1_HEADS[kind], body, cursor, entry_id))
        for entry_id, kind, body in entries
    ]


def connected(cursor: Cursor, push_format: PushFormat, *, recovered: bool) -> bytes:
    """2000: pushes follow from ``cursor`` on."""
    data = "connection successful"
    if not push_format.has_cursors:
        return text_frame(encode(_envelope(PushCode.CONNECTED, "success", data)))
    envelope = _envelope(PushCode.CONNECTED, "connected", data)
    return text_frame(encode({**envelope, "cursor": str(cursor), "recovered": recovered}))


def send_acknowledged(client_message_id: str, message_id: str, create_time: int, *, duplicate: bool) -> bytes:
    """2003: the send that bore ``client_message_id`` is in the log."""
    data = {
        "clientMessageId": client_message_id,
        "messageId": message_id,
        "createTime": create_time,
        "duplicate": duplicate,
    }
    return text_frame(encode(_envelope(PushCode.SEND_ACKNOWLEDGED, "accepted", data)))


def not_connected(push_format: PushFormat, error: ErrorCode, reason: str) -> bytes:
    """4000: the socket is closed after it. ``reason`` is for people."""
    data = {"error": int(error), "retryable": error.is_retryable}
    return _failure(push_format, PushCode.NOT_CONNECTED, reason, data)


def frame_refused(push_format: PushFormat, refusal: Refusal) -> bytes:
    """4001: a message that the gateway wrote was not accepted. The connection stays."""
    after = refusal.retry_after
    details = {
        "retryAfter": None if after is None else after * _MS_PER_SECOND,
        "clientMessageId": refusal.client_message_id,
        "index": refusal.index,
    }
    known = {name: detail for name, detail in details.items() if detail is not None}
    data = {"error": int(refusal.error), "retryable": refusal.is_retryable, **known}
    return _failure(push_format, PushCode.FRAME_REFUSED, refusal.reason, data)


def gap(offered: Cursor, continued: Cursor) -> bytes:
    """4002: what happened between the two points can't be proven complete."""
    data = {"from": str(offered), "to": str(continued)}
    reason = "pushes between these two points may be missing: read the history"
    return text_frame(encode(_envelope(PushCode.GAP, reason, data)))


def _failure(push_format: PushFormat, code: PushCode, reason: str, data: Mapping[str, object]) -> bytes:
    # Clients of the Java version don't know such data.
    allowed = None if push_format is PushFormat.JAVA else data
    return text_frame(encode(_envelope(code, reason, allowed)))


def _envelope(code: PushCode, message: str, data: object) -> dict[str, object]:
    return {"success": code < PushCode.NOT_CONNECTED, "code": int(code), "message": message, "data": data}
