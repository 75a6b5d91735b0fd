import json

import pytest
from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import Event, EventKind
from imc_push_node.gateway import frames
from imc_push_node.gateway.frames import Refusal
from imc_push_node.gateway.push_format import PushFormat
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

AT, OTHER = Cursor("line", EntryId(12, 3)), Cursor("other", EntryId(13, 0))


def payload(frame: bytes) -> bytes:
    """What a WebSocket client reads."""
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(frame)
    (event,) = client.events_received()
    assert isinstance(event, Frame)
    assert event.opcode is Opcode.TEXT
    assert event.fin
    return bytes(event.data)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_every_length_is_read_back(size: int) -> None:
    assert payload(frames.text_frame(b"x" * size)) == b"x" * size


def push(push_format: PushFormat, kind: EventKind, body: bytes) -> bytes:
    (frame,) = frames.pushes(push_format, "line", [Event(kind, body).at(EntryId(12, 3))])
    return payload(frame)


@pytest.mark.parametrize("push_format", [PushFormat.V1, PushFormat.V1_WITH_NOTICES])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (EventKind.MESSAGE_SENT, 2001),
        (EventKind.MESSAGE_RECALLED, 2002),
        (EventKind.NOTICE_PUBLISHED, 2004),
        (EventKind.NOTICE_DELETED, 2005),
        (EventKind.ERASURE, 2006),
    ],
)
def test_a_push_holds_the_body_as_it_is(push_format: PushFormat, kind: EventKind, code: int) -> None:
    body = '{"content":"日本\\u0000 😀"  ,"n":1}'.encode()
    text = push(push_format, kind, body)
    assert body in text
    envelope = json.loads(text)
    assert (envelope["success"], envelope["code"], envelope["cursor"]) == (True, code, "line.12-3")
    assert envelope["data"] == json.loads(body)


@pytest.mark.parametrize(
    ("kind", "code"), [(EventKind.MESSAGE_SENT, 2001), (EventKind.MESSAGE_RECALLED, 2002)]
)
def test_a_push_of_the_java_door_is_what_the_java_version_sends(kind: EventKind, code: int) -> None:
    text = push(PushFormat.JAVA, kind, b'{"content":"x"}')
    assert text == b'{"success":true,"code":%d,"message":"success","data":{"content":"x"}}' % code


def test_the_java_door_is_told_of_no_erasure() -> None:
    erasure = Event(EventKind.ERASURE, b"{}").at(EntryId(12, 3))
    assert frames.pushes(PushFormat.JAVA, "line", [erasure]) == [b""]


def test_connected() -> None:
    assert json.loads(payload(frames.connected(AT, PushFormat.V1, recovered=True))) == {
        "success": True,
        "code": 2000,
        "message": "connected",
        "data": "connection successful",
        "cursor": "line.12-3",
        "recovered": True,
    }


def test_connected_by_the_java_door() -> None:
    expected = b'{"success":true,"code":2000,"message":"success","data":"connection successful"}'
    assert payload(frames.connected(AT, PushFormat.JAVA, recovered=False)) == expected


def test_refusals_are_no_successes() -> None:
    quota = Refusal(ErrorCode.QUOTA_USED_UP, "why", "id", 3, 2)
    refused = json.loads(payload(frames.frame_refused(PushFormat.V1, quota)))
    assert (refused["success"], refused["code"], refused["message"]) == (False, 4001, "why")
    assert refused["data"] == {
        "error": 42901,
        "retryable": True,
        "retryAfter": 2000,
        "clientMessageId": "id",
        "index": 3,
    }
    away = json.loads(payload(frames.not_connected(PushFormat.V1, ErrorCode.UNAVAILABLE, "why")))
    assert (away["success"], away["code"], away["message"]) == (False, 4000, "why")
    assert away["data"] == {"error": 50301, "retryable": True}


def test_refusals_by_the_java_door_have_no_data() -> None:
    quota = Refusal(ErrorCode.QUOTA_USED_UP, "why", "id", 3, 2)
    refused = json.loads(payload(frames.frame_refused(PushFormat.JAVA, quota)))
    assert refused == {"success": False, "code": 4001, "message": "why", "data": None}
    away = json.loads(payload(frames.not_connected(PushFormat.JAVA, ErrorCode.UNAVAILABLE, "why")))
    assert away == {"success": False, "code": 4000, "message": "why", "data": None}


@pytest.mark.parametrize(
    ("error", "own_id", "is_retryable"),
    [
        (ErrorCode.INVALID_FIELD, "id", False),
        (ErrorCode.FORBIDDEN, "id", False),
        (ErrorCode.CLIENT_MESSAGE_ID_REUSED, "id", False),
        (ErrorCode.QUOTA_USED_UP, None, True),
        (ErrorCode.UNAVAILABLE, None, True),
        (ErrorCode.INTERNAL, "id", True),
        (ErrorCode.INTERNAL, None, False),
    ],
)
def test_what_may_be_in_the_log_is_retryable_by_its_own_id_only(
    error: ErrorCode, own_id: str | None, is_retryable: bool
) -> None:
    assert Refusal(error, "why", own_id).is_retryable is is_retryable


def test_a_gap_names_both_ends() -> None:
    envelope = json.loads(payload(frames.gap(AT, Cursor("other", EntryId(13, 0)))))
    assert (envelope["success"], envelope["code"]) == (False, 4002)
    assert envelope["data"] == {"from": "line.12-3", "to": "other.13-0"}


class TestEvents:
    """The same as events of a stream."""

    @pytest.mark.parametrize("push_format", [PushFormat.EVENTS, PushFormat.EVENTS_WITH_NOTICES])
    @pytest.mark.parametrize("kind", EventKind)
    def test_a_push_is_that_of_v1_with_its_cursor_as_the_id(
        self, push_format: PushFormat, kind: EventKind
    ) -> None:
        body = '{"content":"日本\\n\\r\u2028 data: 😀"  ,"n":1}'.encode()
        (event,) = frames.pushes(push_format, "line", [Event(kind, body).at(EntryId(12, 3))])
        assert event == b"id: line.12-3\ndata: %b\n\n" % push(PushFormat.V1_WITH_NOTICES, kind, body)

    def test_line_breaks_between_tokens_do_not_end_an_event(self) -> None:
        body = b'{\n"content":\r\n"a\\nb"\n\n}'
        entry = Event(EventKind.MESSAGE_SENT, body).at(EntryId(12, 3))
        (event,) = frames.pushes(PushFormat.EVENTS, "line", [entry])
        identity, data, *rest = event.split(b"\n")
        assert (identity, rest) == (b"id: line.12-3", [b"", b""])
        assert json.loads(data.removeprefix(b"data: "))["data"] == {"content": "a\nb"}

    @pytest.mark.parametrize(("offered", "expected"), [(None, b"line.12-3"), (OTHER, b"other.13-0")])
    def test_connected_goes_on_from_what_was_offered(self, offered: Cursor | None, expected: bytes) -> None:
        event = frames.connected(AT, PushFormat.EVENTS, recovered=False, offered=offered)
        assert event == b"id: %b\ndata: %b\n\n" % (
            expected,
            payload(frames.connected(AT, PushFormat.V1, recovered=False, offered=offered)),
        )

    def test_a_gap_goes_on_from_its_end(self) -> None:
        event = frames.gap(AT, OTHER, PushFormat.EVENTS)
        assert event == b"id: other.13-0\ndata: %b\n\n" % payload(frames.gap(AT, OTHER))

    def test_what_moves_nobody_has_no_id(self) -> None:
        away = frames.not_connected(PushFormat.EVENTS, ErrorCode.UNAVAILABLE, "why")
        as_frame = payload(frames.not_connected(PushFormat.V1, ErrorCode.UNAVAILABLE, "why"))
        assert away == b"data: %b\n\n" % as_frame
        assert frames.closed(CloseCode.REPLACED, "why") == (
            b'data: {"success":false,"code":4409,"message":"why","data":{"retryable":false}}\n\n'
        )

    def test_who_may_come_back(self) -> None:
        assert {int(code) for code in CloseCode if code.is_retryable} == {1001, 1012, 1013, 4408}


def test_an_acknowledgement() -> None:
    envelope = json.loads(payload(frames.send_acknowledged("mine", "7", 5, duplicate=True)))
    assert (envelope["success"], envelope["code"]) == (True, 2003)
    assert envelope["data"] == {
        "clientMessageId": "mine",
        "messageId": "7",
        "createTime": 5,
        "duplicate": True,
    }
