"""The rules of messages and notices."""

import pytest
from imc_command_api.domain import message, notice
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import PublishNotice, SendMessage
from imc_contracts.errors import Refused

SEND = SendMessage.model_validate(
    {"appId": "a", "groupId": "g", "userId": "u", "content": "hello", "type": 1}
)
PUBLISH = PublishNotice.model_validate({"appId": "a", "groupId": "g", "userId": "u", "content": "news"})


def test_a_recalled_message_has_no_content():
    recalled = message.recall(message.compose(SEND, 7, 1000), "typo", 2000, 120_000)
    assert recalled["content"] == ""
    assert recalled["status"] == 0
    assert recalled["recallTime"] == 2000
    assert recalled["recallCause"] == "typo"
    assert recalled["groupId"] == "g"


def test_the_recall_window_ends_after_its_last_millisecond():
    sent = message.compose(SEND, 7, 1000)
    message.recall(sent, "typo", 121_000, 120_000)
    with pytest.raises(Refused) as refused:
        message.recall(sent, "typo", 121_001, 120_000)
    assert refused.value.code is ErrorCode.RECALL_WINDOW_PASSED
    assert "120 seconds" in refused.value.message


def test_a_recall_is_never_before_its_message():
    assert message.recall(message.compose(SEND, 7, 1000), "typo", 400, 120_000)["recallTime"] == 1000


def test_a_message_is_recalled_once():
    recalled = message.recall(message.compose(SEND, 7, 1000), "typo", 2000, 120_000)
    with pytest.raises(Refused) as refused:
        message.recall(recalled, "typo", 3000, 120_000)
    assert refused.value.code is ErrorCode.ALREADY_RECALLED


def test_a_notice_is_deleted_once():
    deleted = notice.delete(notice.compose(PUBLISH, 9, 1000), 2000)
    assert (deleted["status"], deleted["deleteTime"], deleted["content"]) == (0, 2000, "news")
    with pytest.raises(Refused) as refused:
        notice.delete(deleted, 3000)
    assert refused.value.code is ErrorCode.NOTICE_ALREADY_DELETED


@pytest.mark.parametrize("field", ["groupId", "userId", "content", "type"])
def test_a_digest_tells_messages_apart(field: str):
    body = {"appId": "a", "groupId": "g", "userId": "u", "content": "hello", "type": 1}
    other = SendMessage.model_validate({**body, field: "2"})
    assert message.digest(other) != message.digest(SEND)
    assert message.digest(SendMessage.model_validate(body)) == message.digest(SEND)


@pytest.mark.parametrize("field", ["groupId", "userId", "title", "content", "jumpUrl", "type"])
def test_a_digest_tells_notices_apart(field: str):
    body = {"appId": "a", "groupId": "g", "userId": "u", "content": "news"}
    other = PublishNotice.model_validate({**body, field: "2"})
    assert notice.digest(other) != notice.digest(PUBLISH)
    assert notice.digest(PublishNotice.model_validate(body)) == notice.digest(PUBLISH)


def test_a_notice_is_no_message_of_the_same_payload():
    body = {"appId": "a", "groupId": "g", "userId": "u", "content": "same"}
    of_notice = notice.digest(PublishNotice.model_validate(body))
    assert of_notice != message.digest(SendMessage.model_validate(body))
