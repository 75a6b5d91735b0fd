import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage, SendMessageBatch
from imc_contracts.errors import Refused, unavailable
from imc_contracts.fields import RULES
from imc_contracts.validation import parse_fields, parse_json

GOOD = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
SECRET = "s3cr3t-\n-value"


def refusal(body: bytes | str) -> Refused:
    body = body.encode() if isinstance(body, str) else body
    with pytest.raises(Refused) as caught:
        parse_json(SendMessage, body)
    assert caught.value.code is ErrorCode.INVALID_FIELD
    assert caught.value.retry_after is None
    return caught.value


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_field_is_named_with_its_bound(field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    assert refusal(json.dumps(body)).message == f"{field} is missing: it must be {RULES[field]}"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("appId", SECRET, "is not valid"),
        ("groupId", SECRET, "is not valid"),
        ("userId", SECRET * 20, "is too long"),
        ("userId", 123456, "is not a string"),
        ("content", SECRET * 6000, "is too long"),
        ("content", "é" * 40_000, "is not valid"),
        ("content", {"secret": SECRET}, "is not a string"),
        ("type", SECRET, "is not valid"),
        ("type", 1234567890123, "is not valid"),
        ("clientMessageId", SECRET, "is not valid"),
    ],
)
def test_a_bad_field_is_named_with_its_bound_but_never_its_value(
    field: str, value: Any, problem: str
) -> None:
    message = refusal(json.dumps({**GOOD, field: value})).message
    assert message == f"{field} {problem}: it must be {RULES[field]}"


def test_a_field_in_a_batch_is_named_with_its_place() -> None:
    with pytest.raises(Refused) as caught:
        parse_fields(SendMessageBatch, {"messages": [GOOD, {**GOOD, "appId": SECRET}]})
    assert caught.value.message == f"messages[1].appId is not valid: it must be {RULES['appId']}"
    with pytest.raises(Refused, match=r"messages\[3\]\.appId is not valid: "):
        parse_fields(SendMessage, {**GOOD, "appId": SECRET}, "messages", 3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"\xff",
        b'{"content": "\xff"}',
        b'{"content": "\\ud800"}',
        b"[" * 100_000,
        b"{}{}",
    ],
)
def test_what_is_not_json_is_refused_as_such(body: bytes) -> None:
    assert refusal(body).message.startswith("body is not valid JSON")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true"])
def test_what_is_no_object_is_refused_as_such(body: bytes) -> None:
    assert refusal(body).message == "body is not a JSON object with the fields of this call"


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists)
)
def test_every_other_value_of_a_number_is_refused_without_being_shown(value: Any) -> None:
    if value is None or type(value) is int or (isinstance(value, str) and value.isdecimal()):
        return
    with pytest.raises(Refused) as caught:
        parse_fields(SendMessage, {**GOOD, "type": value})
    assert caught.value.message == f"type is not valid: it must be {RULES['type']}"


def test_out_of_reach_says_that_nothing_was_accepted_and_when_to_retry() -> None:
    refused = unavailable("the log is out of reach", retry_after=3)
    assert (refused.code, refused.retry_after) == (ErrorCode.UNAVAILABLE, 3)
    assert refused.message == "the log is out of reach; nothing was accepted, try again"
    assert str(refused).startswith("50301: ")
