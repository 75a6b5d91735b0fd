"""What a gateway is told, as bytes ready for its socket.

Each is one envelope, in a text frame of a WebSocket or in an event of an event stream. A frame of a server is
not masked (RFC 6455, section 5.1). So one encoding serves all gateways of a format.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imc_contracts.codes import CloseCode, ErrorCode, PushCode
from imc_contracts.cursor import Cursor
from imc_contracts.envelope import encode
from imc_contracts.events import Entry, EventKind

from imc_push_node.gateway.push_format import PushFormat

_PUSHES = {
    EventKind.MESSAGE_SENT: (PushCode.MESSAGE, "new message"),
    EventKind.MESSAGE_RECALLED: (PushCode.MESSAGE_RECALLED, "message recalled"),
    EventKind.NOTICE_PUBLISHED: (PushCode.NOTICE_PUBLISHED, "notice published"),
    EventKind.NOTICE_DELETED: (PushCode.NOTICE_DELETED, "notice deleted"),
    EventKind.ERASURE: (PushCode.ERASED, "erased"),
}
_V1_HEADS = {
    kind: b'{"success":true,"code":%d,"message":"%b","data":' % (code, words.encode())
    for kind, (code, words) in _PUSHES.items()
}
_JAVA_HEADS = {
    kind: b'{"success":true,"code":%d,"message":"success","data":' % code
    for kind, (code, _) in _PUSHES.items()
    if kind is not EventKind.ERASURE  # the Java version has none, and its clients are strict
}

_MS_PER_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something that a gateway wrote was not accepted. ``reason`` is for people."""

    error: ErrorCode
    reason: str
    client_message_id: str | None = None
    """The message's own id, if it had one."""
    index: int | None = None
    """The message's index, if its frame was a list."""
    retry_after: int | None = None
    """After how many seconds to retry, if that is known."""
    groups_held: int | None = None
    """How many groups the gateway still holds, if its frame was to change them."""

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
    """2001, 2002, 2004, 2005 or 2006 of each entry. Its body is passed on as it is in the log, unread.

    In the place of an entry that the format has no frame for is nothing.
    """
    if not push_format.has_cursors:
        heads = ((_JAVA_HEADS.get(kind), body) for _, kind, body in entries)
        return [b"" if head is None else text_frame(b"%b%b}" % (head, body)) for head, body in heads]
    if push_format.is_event_stream:
        return [_push_event(epoch.encode(), *entry) for entry in entries]
    cursor = b',"cursor":"%b.' % epoch.encode()
    return [
        text_frame(b'%b%b%b%b"}' % (_V1_HEADS[kind], body, cursor, entry_id))
        for entry_id, kind, body in entries
    ]


def event(payload: bytes, cursor: Cursor | None = None) -> bytes:
    """Put ``payload`` (UTF-8, one line) into one event; ``cursor`` is where to go on from after it."""
    return (
        b"data: %b\n\n" % payload
        if cursor is None
        else b"id: %b\ndata: %b\n\n" % (str(cursor).encode(), payload)
    )


def _push_event(epoch: bytes, entry_id: bytes, kind: EventKind, body: bytes) -> bytes:
    if body.find(b"\n") >= 0 or body.find(b"\r") >= 0:  # much faster than `in`
        # Of an entry made by hand. JSON has line breaks between its tokens only. They would end the event.
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    return b'id: %b.%b\ndata: %b%b,"cursor":"%b.%b"}\n\n' % (
        epoch,
        entry_id,
        _V1_HEADS[kind],
        body,
        epoch,
        entry_id,
    )


def connected(
    cursor: Cursor, push_format: PushFormat, *, recovered: bool, offered: Cursor | None = None
) -> bytes:
    """2000: pushes follow from ``cursor`` on. ``offered``: the position to resume from, if it was another.

    Until the gap between the two is announced, a gateway that comes back must offer that one again.
    """
    data = "connection successful"
    if not push_format.has_cursors:
        return text_frame(encode(_envelope(PushCode.CONNECTED, "success", data)))
    envelope = _envelope(PushCode.CONNECTED, "connected", data)
    payload = encode({**envelope, "cursor": str(cursor), "recovered": recovered})
    return event(payload, offered or cursor) if push_format.is_event_stream else text_frame(payload)


def groups_held(number: int, cursor: Cursor) -> bytes:
    """2007: the gateway holds so many groups; it gets all events of these that come after ``cursor``."""
    envelope = _envelope(PushCode.GROUPS_HELD, "groups held", number)
    return text_frame(encode({**envelope, "cursor": str(cursor)}))


def position(cursor: Cursor) -> bytes:
    """2008: the gateway has all events of its groups up to ``cursor``."""
    envelope = _envelope(PushCode.POSITION, "nothing else for you until here", None)
    return text_frame(encode({**envelope, "cursor": str(cursor)}))


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
        "groupsHeld": refusal.groups_held,
    }
    known = {name: detail for name, detail in details.items() if detail is not None}
    data = {"error": int(refusal.error), "retryable": refusal.is_retryable, **known}
    return _failure(push_format, PushCode.FRAME_REFUSED, refusal.reason, data)


def closed(code: CloseCode, reason: str) -> bytes:
    """The last event of a stream: why it ends, as the close frame of a WebSocket says it."""
    data = {"retryable": code.is_retryable}
    return event(encode({"success": False, "code": int(code), "message": reason, "data": data}))


def gap(offered: Cursor, continued: Cursor, push_format: PushFormat = PushFormat.V1) -> bytes:
    """4002: what happened between the two points can't be proven complete."""
    data = {"from": str(offered), "to": str(continued)}
    reason = "pushes between these two points may be missing: read the history"
    payload = encode(_envelope(PushCode.GAP, reason, data))
    return event(payload, continued) if push_format.is_event_stream else text_frame(payload)


def _failure(push_format: PushFormat, code: PushCode, reason: str, data: Mapping[str, object]) -> bytes:
    # Clients of the Java version don't know such data.
    allowed = None if push_format is PushFormat.JAVA else data
    payload = encode(_envelope(code, reason, allowed))
    return event(payload) if push_format.is_event_stream else text_frame(payload)


def _envelope(code: PushCode, message: str, data: object) -> dict[str, object]:
    return {"success": code < PushCode.NOT_CONNECTED, "code": int(code), "message": message, "data": data}
