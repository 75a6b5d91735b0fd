"""From entries to rows: what each event says, and what is no event."""

from typing import Any

import orjson
import pytest
from imc_command_api.store.changes import MessageRow, Row, row_of
from imc_command_api.store.coalesce import erasures_of, messages_of, notices_of
from imc_contracts.cursor import EntryId
from imc_contracts.events import Entry, Event, EventKind, MalformedEvent

PLACE = EntryId(1_790_000_000_000, 3)


@pytest.fixture
def message(history: Any) -> dict[str, Any]:
    return dict(history.message())


@pytest.fixture
def notice(history: Any) -> dict[str, Any]:
    return dict(history.notice())


def entry(kind: EventKind, view: Any) -> Entry:
    return Event(kind, orjson.dumps(view)).at(PLACE)


def test_a_send_makes_a_row_at_its_place(app_id: str, message: dict[str, Any]):
    row = row_of(app_id, entry(EventKind.MESSAGE_SENT, message))
    assert isinstance(row, MessageRow)
    assert row.status == 1
    assert row.content == "hello"
    assert row.log_id == row.last_log_id == PLACE.column


def test_a_recall_never_bears_content_whatever_its_body_says(app_id: str, message: dict[str, Any]):
    row = row_of(app_id, entry(EventKind.MESSAGE_RECALLED, message | {"recallTime": 9, "recallCause": "x"}))
    assert row[4:9] == ("", message["createTime"], 9, "x", 0)
    assert row.log_id is None
    assert row.last_log_id == PLACE.column


def test_a_send_is_not_recalled_whatever_its_body_says(app_id: str, message: dict[str, Any]):
    lie = {"status": 0, "recallTime": 9, "recallCause": "x"}
    row = row_of(app_id, entry(EventKind.MESSAGE_SENT, message | lie))
    assert row[4:9] == ("hello", message["createTime"], 0, None, 1)


def test_bounds_themselves_are_within(app_id: str, message: dict[str, Any], notice: dict[str, Any]):
    widest = {
        "messageId": str(2**63 - 1),
        "groupId": "\U0001f600" * 127,
        "userId": "u" * 127,
        "content": "\u20ac" * 21_845,
        "createTime": 2**63 - 1,
        "recallTime": 2**63 - 1,
        "recallCause": "\u20ac" * 255,
        "type": -(2**31),
    }
    assert row_of(app_id, entry(EventKind.MESSAGE_RECALLED, message | widest))[0] == 2**63 - 1
    widest = {"informationId": "1", "title": "t" * 255, "jumpUrl": "j" * 2048, "type": 2**31 - 1}
    assert row_of(app_id, entry(EventKind.NOTICE_DELETED, notice | widest))[0] == 1
    least = {"messageId": "1", "groupId": "g", "userId": "u", "content": "", "createTime": 0}
    for type_ in (-(2**31), 0, 2**31 - 1, None):
        assert row_of(app_id, entry(EventKind.MESSAGE_SENT, message | least | {"type": type_}))[0] == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"appId": "another"},
        {"messageId": "0"},
        {"messageId": "-1"},
        {"messageId": "1.0"},
        {"messageId": "\u0661"},
        {"messageId": str(2**63)},
        {"messageId": "9" * 5000},
        {"messageId": 5},
        {"groupId": ""},
        {"groupId": "g" * 128},
        {"groupId": "g "},
        {"userId": "u" * 128},
        {"content": "\u20ac" * 21_846},
        {"content": None},
        {"createTime": -1},
        {"createTime": 2**63},
        {"recallTime": 2**63},
        {"recallCause": "c" * 256},
        {"type": 2**31},
        {"type": "1"},
    ],
    ids=repr,
)
def test_a_message_that_no_row_can_hold_is_malformed(
    app_id: str, message: dict[str, Any], fault: dict[str, Any]
):
    for kind in (EventKind.MESSAGE_SENT, EventKind.MESSAGE_RECALLED):
        with pytest.raises(MalformedEvent):
            row_of(app_id, entry(kind, message | fault))


@pytest.mark.parametrize(
    "fault",
    [
        {"appId": "another"},
        {"informationId": ""},
        {"title": "t" * 256},
        {"jumpUrl": "j" * 2049},
        {"deleteTime": -1},
        {"type": -(2**31) - 1},
    ],
    ids=repr,
)
def test_a_notice_that_no_row_can_hold_is_malformed(
    app_id: str, notice: dict[str, Any], fault: dict[str, Any]
):
    for kind in (EventKind.NOTICE_PUBLISHED, EventKind.NOTICE_DELETED):
        with pytest.raises(MalformedEvent):
            row_of(app_id, entry(kind, notice | fault))


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"messageId":', b"\xff", b'"\\ud800"'])
def test_a_body_that_is_no_view_is_malformed(app_id: str, body: bytes):
    for kind in EventKind:
        with pytest.raises(MalformedEvent):
            row_of(app_id, Event(kind, body).at(PLACE))


def test_a_body_of_the_other_kind_is_malformed(app_id: str, message: Any, notice: Any):
    with pytest.raises(MalformedEvent):
        row_of(app_id, entry(EventKind.NOTICE_PUBLISHED, message))
    with pytest.raises(MalformedEvent):
        row_of(app_id, entry(EventKind.MESSAGE_SENT, notice))


ERASURE = {"erasureId": "7", "appId": None, "userId": None, "groupId": None, "eraseTime": 9}


@pytest.mark.parametrize("subject", [{}, {"userId": "u"}, {"groupId": "g"}])
def test_an_erasure_is_of_an_app_a_user_or_a_group(app_id: str, subject: dict[str, str]):
    row = row_of(app_id, entry(EventKind.ERASURE, ERASURE | {"appId": app_id} | subject))
    named = (subject.get("userId"), subject.get("groupId"))
    assert row == (7, app_id, *named, 9, PLACE.column)


@pytest.mark.parametrize(
    "wrong",
    [
        {"userId": "u", "groupId": "g"},
        {"userId": ""},
        {"userId": "u" * 128},
        {"groupId": "a space at the end "},
        {"eraseTime": -1},
        {"erasureId": "0"},
        {"appId": "another"},
    ],
    ids=str,
)
def test_an_erasure_that_no_row_can_hold_is_malformed(app_id: str, wrong: dict[str, Any]):
    with pytest.raises(MalformedEvent):
        row_of(app_id, entry(EventKind.ERASURE, ERASURE | {"appId": app_id} | wrong))


def test_changes_are_made_in_the_order_of_their_keys(history_of: Any):
    """Transactions that lock in the same order do not deadlock."""
    rows = list[Row]()
    for app_id in ("b", "a"):
        for id_ in ("9", "10", "1"):
            message = history_of(app_id).message() | {"messageId": id_}
            notice = history_of(app_id).notice() | {"informationId": id_}
            erasure = ERASURE | {"appId": app_id, "erasureId": id_}
            rows.append(row_of(app_id, entry(EventKind.MESSAGE_SENT, message)))
            rows.append(row_of(app_id, entry(EventKind.NOTICE_PUBLISHED, notice)))
            rows.append(row_of(app_id, entry(EventKind.ERASURE, erasure)))
    ordered = [(app_id, id_) for app_id in ("a", "b") for id_ in (1, 9, 10)]
    for keys in (messages_of(rows), notices_of(rows), erasures_of(rows)):
        assert list(keys) == ordered
