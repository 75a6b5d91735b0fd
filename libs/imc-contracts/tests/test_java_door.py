"""Requests of the Java version's clients are read as Jackson with its defaults reads them."""

import json
from typing import Any

import pytest
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.java_door.commands import (
    DeleteNotice,
    PublishNotice,
    RecallMessage,
    SendMessage,
    parse_fields,
    parse_json,
)
from imc_contracts.java_door.json_text import Number, read_json
from imc_contracts.structure import MAX_VALUES
from pydantic import BaseModel

GOOD = {"appId": "a", "groupId": "g", "userId": "u", "content": "c"}
CHINESE = {**GOOD, "groupId": "群组", "content": "你好，世界"}


def sent(body: bytes, charset: str | None = None) -> dict[str, Any]:
    return parse_json(SendMessage, body, charset).model_dump(by_alias=True)


def sent_with(field: str, text: str) -> Any:
    """What a field is read as whose value is the JSON ``text``."""
    others = {name: value for name, value in GOOD.items() if name != field}
    return sent(f'{json.dumps(others)[:-1]}, "{field}": {text}}}'.encode())[field]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", "4"),
        ("-0", "-0"),
        ("1.0", "1.0"),
        ("1.10", "1.10"),
        ("1e5", "1e5"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1" * 5000, "1" * 5000),
        ("true", "true"),
        ("false", "false"),
        ("null", ""),
        ('"null"', "null"),
        ('""', ""),
        ('" padded "', " padded "),
    ],
)
def test_a_text_is_read_from_a_scalar(text: str, value: str) -> None:
    assert sent_with("content", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("1.0", 1),
        ("1.7", 1),
        ("-1.7", -1),
        ("1e3", 1000),
        ('"1"', 1),
        ('" 1 "', 1),
        ('"\\t-1\\n"', -1),
        ('"+1"', 1),
        ('"007"', 7),
        ('""', None),
        ('"  "', None),
        ('"null"', None),
        ('" null "', None),
        ("null", None),
        ("2147483647", 2**31 - 1),
        ("-2147483648", -(2**31)),
    ],
)
def test_an_integer_is_read_from_a_number_or_a_text(text: str, value: int | None) -> None:
    assert sent_with("type", text) == value


@pytest.mark.parametrize("field", ["appId", "groupId", "userId"])
def test_an_id_is_read_from_a_number_or_a_boolean(field: str) -> None:
    for value, text in ((7, "7"), (True, "true"), (1.5, "1.5")):
        assert sent(json.dumps({**GOOD, field: value}).encode())[field] == text


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *(("type", text) for text in ("true", '"x"', '"1.0"', '"1 2"', "[]", "[1]", "{}", "2147483648")),
        *(("type", text) for text in ("1e300", "-2147483649", "1" * 5000, "9e999999999", '"99999999999"')),
        *(("content", text) for text in ("[]", '["c"]', "{}", json.dumps("x" * 65536), '"\\ud800"')),
        *((field, text) for field in ("appId", "groupId", "userId") for text in ("null", '""', "[]", "{}")),
        *((field, json.dumps("x" * 128)) for field in ("appId", "groupId", "userId")),
        *((field, '" x"') for field in ("appId", "groupId", "userId")),
    ],
)
def test_what_jackson_or_a_bound_refuses_names_its_field(field: str, text: str) -> None:
    with pytest.raises(Refused) as caught:
        sent_with(field, text)
    assert caught.value.code is ErrorCode.INVALID_FIELD
    assert caught.value.message.startswith(f"{field} ")


def test_an_absent_content_is_empty_and_absent_ids_are_named() -> None:
    assert sent(b'{"appId": "a", "groupId": "g", "userId": "u"}')["content"] == ""
    with pytest.raises(Refused, match="userId is missing"):
        sent(b'{"appId": "a", "groupId": "g", "content": 1}')


def test_unknown_fields_are_ignored_whatever_they_hold() -> None:
    unknown = {"later": {"a": [1, 2.5, None]}, "clientMessageId": "x" * 99, "client_message_id": "y"}
    for fields in (GOOD, {**GOOD, "userId": 7}):
        read = parse_json(SendMessage, json.dumps({**fields, **unknown}).encode())
        assert (read.client_message_id, read.content) == (None, "c")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("charset", [None, "UTF-8", "utf8", "UTF-16", "US-ASCII", "ascii"])
def test_an_encoding_of_unicode_is_found_in_the_text(encoding: str, charset: str | None) -> None:
    body = json.dumps(CHINESE, ensure_ascii=False).encode(encoding)
    assert sent(body, charset)["content"] == CHINESE["content"]


@pytest.mark.parametrize(
    "charset",
    ["GBK", "gb2312", "GB18030", "Big5", "EUC-KR", "Shift_JIS", "x-gbk", "hz", "ISO-8859-1", "windows-1252"],
)
def test_a_text_is_decoded_from_the_charset_that_is_named(charset: str) -> None:
    if charset == "x-gbk":
        with pytest.raises(Refused) as caught:
            sent(b"{}", charset)
        assert caught.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE
        return
    latin = dict.fromkeys(("ISO-8859-1", "windows-1252"), "déjà vu")
    characters = {"EUC-KR": "안녕", "Shift_JIS": "こんにちは", **latin}.get(charset, "你好")
    body = json.dumps({**GOOD, "content": characters}, ensure_ascii=False).encode(charset)
    assert sent(body, charset)["content"] == characters


@pytest.mark.parametrize("charset", ["nonsense", "rot13", "base64", "zlib", "idna", "", "a\x00b", "../gbk"])
def test_an_unknown_charset_is_refused(charset: str) -> None:
    with pytest.raises(Refused) as caught:
        sent(json.dumps(GOOD).encode(), charset)
    assert caught.value.code is ErrorCode.UNSUPPORTED_MEDIA_TYPE


def test_bytes_that_are_not_of_the_charset() -> None:
    assert (
        sent(json.dumps({**GOOD, "content": "!"}).encode().replace(b"!", b"\xff"), "gbk")["content"]
        == "\ufffd"
    )
    with pytest.raises(Refused, match="body is not valid JSON: its bytes are not UTF-8"):
        sent(b'{"content": "\xff"}')


@pytest.mark.parametrize("after", [b" ", b"\n\n", b"{}", b" more", b"]", b"\x00", b'{"appId": "other"}'])
def test_text_after_the_first_value_is_ignored(after: bytes) -> None:
    assert sent(b"\r\n\t " + json.dumps(GOOD).encode() + after)["appId"] == "a"


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"[]", b"7", b'"x"', b"null", b"true", b"\xff\xfe", b"NaN", b"[" * 100_000),
        *(b'{"appId": }', b"{'appId': 'a'}", b'{"appId": "a\nb"}', b"\x00", b"/* */ {}", b'{"type": 01}'),
        *(b'{"type": NaN}', b'{"type": -Infinity}', b'{"a": "' + b"x" * 100, b"{}"[:1] + b'"a": .5}'),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        sent(body)
    assert caught.value.code is ErrorCode.INVALID_FIELD
    assert "body" in caught.value.message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(encoding: str) -> None:
    fields = {**GOOD, "unknown": [0] * (MAX_VALUES + 1)}
    with pytest.raises(Refused, match=f"at most {MAX_VALUES}"):
        sent(json.dumps(fields).encode(encoding))


def test_separators_within_a_text_are_no_values_in_any_encoding() -> None:
    content = '\\"' + "," * 65_000
    for encoding in ("utf-8", "utf-16"):
        assert sent(json.dumps({**GOOD, "content": content}).encode(encoding))["content"] == content


def test_a_notice_is_read_as_a_message_is() -> None:
    fields = {**GOOD, "content": None, "title": 7, "jumpUrl": True, "type": " 3 ", "clientMessageId": "c"}
    read = parse_json(PublishNotice, json.dumps(fields).encode())
    assert (read.content, read.title, read.jump_url, read.type) == ("", "7", "true", 3)
    assert read.client_message_id is None
    with pytest.raises(Refused, match="jumpUrl is not valid"):
        parse_json(PublishNotice, json.dumps({**fields, "jumpUrl": "javascript:x"}).encode())


@pytest.mark.parametrize(("model", "field"), [(RecallMessage, "messageId"), (DeleteNotice, "informationId")])
@pytest.mark.parametrize(
    ("value", "id_"),
    [
        ("123", 123),
        (123, 123),
        (2**63 - 1, 2**63 - 1),
        *((text, 0) for text in ("", "x", "0", "-1", "007", " 1", "1.0", str(2**63), "9" * 100, "١")),
        *((number, 0) for number in (0, -1, 1.5, True)),
    ],
)
def test_an_id_is_any_text_and_one_that_is_none_belongs_to_nothing(
    model: type[Any], field: str, value: object, id_: int
) -> None:
    read: BaseModel = parse_json(model, json.dumps({field: value}).encode())
    assert read.model_dump(by_alias=True)[field] == id_


@pytest.mark.parametrize(("model", "field"), [(RecallMessage, "messageId"), (DeleteNotice, "informationId")])
@pytest.mark.parametrize("fields", [{}, {"messageId": None, "informationId": None}])
def test_an_absent_id_is_refused(model: type[Any], field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=f"{field} is missing"):
        parse_fields(model, fields)


def test_the_cause_of_a_recall() -> None:
    assert parse_fields(RecallMessage, {"messageId": "1", "recallCause": 4}).recall_cause == "4"
    assert parse_fields(RecallMessage, {"messageId": "1", "recallCause": None}).recall_cause is None
    with pytest.raises(Refused, match="recallCause is too long"):
        parse_fields(RecallMessage, {"messageId": "1", "recallCause": "x" * 256})


def test_decoded_fields_are_converted_too() -> None:
    decoded = read_json(b'{"groupId": 1.50, "userId": "u", "type": 2.9} rest')
    assert isinstance(decoded["groupId"], Number)
    read = parse_fields(SendMessage, {**decoded, "appId": "a"})
    assert (read.app_id, read.group_id, read.type, read.content) == ("a", "1.50", 2, "")
    assert parse_fields(SendMessage, {**GOOD, "userId": 7, "type": 1.9}).type == 1
