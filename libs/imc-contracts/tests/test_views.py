from imc_contracts import schema, views
from imc_contracts.views import Message, Notice
from pydantic.alias_generators import to_camel

MESSAGE: Message = {
    "messageId": "7",
    "appId": "a",
    "groupId": "g",
    "userId": "u",
    "content": "secret",
    "createTime": 5,
    "recallTime": 0,
    "recallCause": None,
    "status": 1,
    "type": 2,
}
NOTICE: Notice = {
    "informationId": "8",
    "appId": "a",
    "groupId": "g",
    "userId": "u",
    "title": "t",
    "content": "c",
    "createTime": 5,
    "deleteTime": 0,
    "jumpUrl": "https://example.org",
    "status": 1,
    "type": None,
}


def test_a_recalled_message_shows_no_content() -> None:
    before = dict(MESSAGE)
    shown = views.recalled(MESSAGE, 9, "typo")
    changed = {"content": "", "recallTime": 9, "recallCause": "typo", "status": 0}
    assert shown == {**before, **changed}
    assert before == MESSAGE, "the view that was given is not changed"


def test_a_deleted_notice_keeps_its_content() -> None:
    before = dict(NOTICE)
    assert views.deleted(NOTICE, 9) == {**before, "deleteTime": 9, "status": 0}
    assert before == NOTICE


def test_columns_stand_in_the_order_of_the_fields() -> None:
    assert [to_camel(column) for column in schema.MESSAGE_VIEW_COLUMNS] == list(Message.__annotations__)
    assert [to_camel(column) for column in schema.NOTICE_VIEW_COLUMNS] == list(Notice.__annotations__)
