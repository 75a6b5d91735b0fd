"""The shapes of the wire, frozen: a file here changes only together with the contract."""

import json
from pathlib import Path
from typing import Any

import pytest
from imc_contracts import envelope, events, views
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import (
    DeleteNotice,
    EraseApp,
    EraseGroup,
    EraseUser,
    PublishNotice,
    RecallMessage,
    SendMessage,
    SendMessageBatch,
)
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.errors import unavailable
from imc_contracts.events import Event, EventKind, RecallMark
from imc_contracts.log_changes import ErasureChange, LogChangesPage, MessageChange, NoticeChange
from imc_contracts.validation import parse_json
from imc_contracts.views import (
    Erasure,
    Group,
    GroupPage,
    JavaMessagePage,
    JavaNoticePage,
    Message,
    MessagePage,
    Notice,
    NoticePage,
    NoticeReceipt,
    SendReceipt,
)
from pydantic import BaseModel, TypeAdapter

GOLDEN = Path(__file__).parent / "golden"

SENT: Message = {
    "messageId": "1000000000000000001",
    "appId": "shop",
    "groupId": "群组 1",
    "userId": "u'1",
    "content": 'quote " backslash \\ newline \n nul \0 emoji 😀 separator \u2028',
    "createTime": 1796169600000,
    "recallTime": 0,
    "recallCause": None,
    "status": views.STATUS_NORMAL,
    "type": None,
}
RECALLED = views.recalled({**SENT, "type": 3}, 1796169660000, "a typo")
PUBLISHED: Notice = {
    "informationId": "1000000000000000002",
    "appId": "shop",
    "groupId": "群组 1",
    "userId": "u'1",
    "title": "Closed on Friday",
    "content": "See you on Saturday",
    "createTime": 1796169600001,
    "deleteTime": 0,
    "jumpUrl": "shop://opening-hours",
    "status": views.STATUS_NORMAL,
    "type": -1,
}
DELETED = views.deleted({**PUBLISHED, "title": None, "jumpUrl": None, "type": None}, 1796169660001)
ERASED: Erasure = {
    "erasureId": "1000000000000000003",
    "appId": "shop",
    "userId": "u'1",
    "groupId": None,
    "eraseTime": 1796169660002,
}
GROUP: Group = {
    "groupId": "群组 1",
    "newMessage": RECALLED,
    "updateTime": RECALLED["createTime"],
    "messageTotal": 2,
}
MESSAGE_PAGE: MessagePage = {"messages": [SENT, RECALLED], "hasMore": True, "total": None}
NOTICE_PAGE: NoticePage = {"notices": [DELETED, PUBLISHED], "hasMore": False}
GROUP_PAGE: GroupPage = {"groups": [GROUP], "hasMore": False}
JAVA_MESSAGE_PAGE: JavaMessagePage = {"total": 2, "pageMessageList": [SENT, RECALLED]}
JAVA_NOTICE_PAGE: JavaNoticePage = {"total": 3, "pageInformationList": [PUBLISHED]}
CURSOR = str(Cursor("k3v9", EntryId(1796169600000, 0)))
SEND_RECEIPT: SendReceipt = {
    "messageId": "1000000000000000001",
    "createTime": 1796169600000,
    "cursor": CURSOR,
    "duplicate": False,
}
NOTICE_RECEIPT: NoticeReceipt = {
    "informationId": "1000000000000000002",
    "createTime": 1796169600001,
    "cursor": CURSOR,
    "duplicate": False,
}

TOMBSTONE: MessageChange = {"entryId": "1796169600000-0", "kind": "s", "view": RECALLED}
RECALL: MessageChange = {"entryId": "1796169660000-0", "kind": "r", "view": RECALLED}
PUBLICATION: NoticeChange = {"entryId": "1796169660000-1", "kind": "p", "view": PUBLISHED}
DELETION: NoticeChange = {"entryId": "1796169660001-0", "kind": "d", "view": DELETED}
ERASURE: ErasureChange = {"entryId": "1796169660002-0", "kind": "e", "view": ERASED}
LOG_CHANGES: LogChangesPage = {
    "changes": [TOMBSTONE, RECALL, PUBLICATION, DELETION, ERASURE],
    "isLast": True,
}

WRITTEN: dict[str, Any] = {
    "reply-send": envelope.success(SEND_RECEIPT),
    "reply-send-batch": envelope.success(
        [envelope.success(SEND_RECEIPT), envelope.failure_of(unavailable("the log is out of reach"))]
    ),
    "reply-publish-notice": envelope.success(NOTICE_RECEIPT),
    "reply-message-page": envelope.success(MESSAGE_PAGE),
    "reply-notice-page": envelope.success(NOTICE_PAGE),
    "reply-group-page": envelope.success(GROUP_PAGE),
    "java-reply-message-page": envelope.success(JAVA_MESSAGE_PAGE),
    "java-reply-notice-page": envelope.success(JAVA_NOTICE_PAGE),
    "java-reply-groups": envelope.success([GROUP]),
    "reply-log-changes": envelope.success(LOG_CHANGES),
    "reply-failure": envelope.failure(ErrorCode.RECALL_WINDOW_PASSED, "the recall window has passed"),
}
EVENTS: dict[str, Event] = {
    "event-message-sent": events.message_sent(SENT),
    "event-message-recalled": events.message_recalled(RECALLED),
    "event-notice-published": events.notice_published(PUBLISHED),
    "event-notice-deleted": events.notice_deleted(DELETED),
    "event-erasure": events.erasure(ERASED),
}
COMMANDS: dict[str, type[BaseModel]] = {
    "command-send-message": SendMessage,
    "command-send-message-batch": SendMessageBatch,
    "command-recall-message": RecallMessage,
    "command-publish-notice": PublishNotice,
    "command-delete-notice": DeleteNotice,
    "command-erase-user": EraseUser,
    "command-erase-group": EraseGroup,
    "command-erase-app": EraseApp,
}
OTHERS = {"live-batch", "recall-mark"}


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def in_order(value: Any) -> str:
    """JSON in which the order of keys counts."""
    return json.dumps(value, indent=2)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_reply_keeps_its_shape(name: str) -> None:
    assert in_order(json.loads(envelope.encode(WRITTEN[name]))) == in_order(golden(name))


def test_log_changes_are_read_as_ever() -> None:
    frozen = golden("reply-log-changes")["data"]
    assert TypeAdapter(LogChangesPage).validate_python(frozen, strict=True) == frozen == LOG_CHANGES
    assert {change["kind"].encode() for change in frozen["changes"]} == set(EventKind)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_keeps_its_shape(name: str) -> None:
    event = EVENTS[name]
    frozen = golden(name)
    assert in_order({"k": event.kind.decode(), "v": json.loads(event.body)}) == in_order(frozen)
    read = events.read_notice if event.kind.is_notice else events.read_message
    if event.kind is EventKind.ERASURE:
        read = events.read_erasure
    assert read(json.dumps(frozen["v"]).encode()) == frozen["v"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_read_as_ever(name: str) -> None:
    frozen = golden(name)
    read = parse_json(COMMANDS[name], json.dumps(frozen["body"]).encode())
    assert in_order(read.model_dump()) == in_order(frozen["read"])


def test_a_live_batch_keeps_its_shape() -> None:
    frozen = golden("live-batch")
    batch = events.read_live_batch(frozen["payload"].encode())
    assert batch.epoch == frozen["epoch"]
    assert str(batch.prev) == frozen["prev"]
    assert [
        {"id": str(entry.id), "k": entry.kind.decode(), "v": json.loads(entry.body)}
        for entry in batch.entries
    ] == frozen["entries"]


def test_a_recall_mark_keeps_its_shape() -> None:
    frozen = golden("recall-mark")
    mark = RecallMark(**frozen["mark"])
    assert mark.encode().decode() == frozen["member"]
    assert RecallMark.read(frozen["member"].encode()) == mark


def test_every_file_is_held_against_something() -> None:
    files = {path.stem for path in GOLDEN.glob("*.json")}
    assert files == set(WRITTEN) | set(EVENTS) | set(COMMANDS) | OTHERS
