import pytest
from imc_contracts.commands import (
    DeleteNotice,
    PublishNotice,
    RecallMessage,
    SendMessage,
    SendMessageBatch,
)
from imc_contracts.errors import Refused
from imc_contracts.validation import parse_fields, parse_json
from pydantic import BaseModel, ValidationError

MESSAGE = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}


@pytest.mark.parametrize(
    ("model", "required", "optional"),
    [
        (SendMessage, {"appId", "groupId", "userId", "content"}, {"type", "clientMessageId"}),
        (SendMessageBatch, {"messages"}, set[str]()),
        (RecallMessage, {"appId", "messageId"}, {"recallCause"}),
        (
            PublishNotice,
            {"appId", "groupId", "userId", "content"},
            {"title", "jumpUrl", "type", "clientMessageId"},
        ),
        (DeleteNotice, {"appId", "informationId"}, set[str]()),
    ],
)
def test_fields_of_the_wire(model: type[BaseModel], required: set[str], optional: set[str]) -> None:
    fields = model.model_fields.values()
    assert {field.alias for field in fields if field.is_required()} == required
    assert {field.alias for field in fields if not field.is_required()} == optional
    assert all(field.default is None for field in fields if not field.is_required())


def test_unknown_fields_are_ignored_and_names_are_camel_case_alone() -> None:
    read = parse_fields(SendMessage, {**MESSAGE, "later": {"version": 2}, "client_message_id": "x"})
    assert read.client_message_id is None
    with pytest.raises(Refused, match="appId is missing"):
        parse_fields(SendMessage, {"app_id": "a", "groupId": "g", "userId": "u", "content": "c"})


def test_null_stands_for_an_absent_option_only() -> None:
    read = parse_json(
        PublishNotice,
        b'{"appId":"a","groupId":"g","userId":"u","content":"c","title":null,"jumpUrl":null,"type":null}',
    )
    assert (read.title, read.jump_url, read.type) == (None, None, None)
    with pytest.raises(Refused, match="content is not a string"):
        parse_fields(SendMessage, {**MESSAGE, "content": None})


def test_a_command_can_not_be_changed() -> None:
    read = parse_fields(SendMessage, MESSAGE)
    with pytest.raises(ValidationError, match="frozen"):
        read.content = "other"


@pytest.mark.parametrize("count", [1, 500])
def test_a_batch_holds_1_to_500(count: int) -> None:
    assert len(parse_fields(SendMessageBatch, {"messages": [MESSAGE] * count}).messages) == count


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "messages is empty"),
        ([MESSAGE] * 501, "messages has too many entries"),
        (MESSAGE, "is not a list"),
    ],
)
def test_a_batch_of_none_or_too_many_is_refused(messages: object, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        parse_fields(SendMessageBatch, {"messages": messages})
