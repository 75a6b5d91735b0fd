"""The bounds of every value that a request can carry."""

import json
import re
import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import fields
from imc_contracts.fields import RULES
from pydantic import TypeAdapter, ValidationError

TYPES: dict[str, TypeAdapter[Any]] = {
    "appId": TypeAdapter(fields.AppId),
    "gatewayId": TypeAdapter(fields.GatewayId),
    "groupId": TypeAdapter(fields.GroupId),
    "userId": TypeAdapter(fields.UserId),
    "content": TypeAdapter(fields.Content),
    "type": TypeAdapter(fields.MessageType),
    "clientMessageId": TypeAdapter(fields.ClientMessageId),
    "recallCause": TypeAdapter(fields.ShortText),
    "title": TypeAdapter(fields.ShortText),
    "jumpUrl": TypeAdapter(fields.JumpUrl),
    "messageId": TypeAdapter(fields.Id),
    "erasureId": TypeAdapter(fields.Id),
    "informationId": TypeAdapter(fields.Id),
    "limit": TypeAdapter(fields.Limit),
    "startTime": TypeAdapter(fields.Milliseconds),
    "endTime": TypeAdapter(fields.Milliseconds),
    "node": TypeAdapter(fields.NodeAddress),
    "reason": TypeAdapter(fields.CloseReason),
    "minutes": TypeAdapter(fields.Minutes),
    "letterIds[]": TypeAdapter(fields.LetterId),
}

_APART = {"Cc", "Cf", "Zl", "Zp", "Zs"}

NO_TEXT: list[Any] = [None, 1, 1.5, True, [], {}]
NO_NUMBER: list[Any] = [
    None,
    "",
    " 1",
    "1 ",
    "1.0",
    "1e3",
    "1_000",
    "0x1",
    "１",
    "--1",
    "x",
    1.0,
    1.5,
    True,
    False,
    [],
    {},
]

IDENTIFIER_GOOD = [
    *[
        "a" * 127,
        ".",
        "..",
        "app.1_x~y-Z",
        "a:b",
        "10.0.0.1:8080",
        "a%20",
        "a%",
        "*",
        "\u200b",
        "a\U000e0001",
    ],
    *["g", "群组", "a b", "a/b", "{g}", "😀" * 127, "'; DROP TABLE x; --", "a\\", '"', "%", "é"],
]
IDENTIFIER_BAD: list[Any] = [
    *["", " ", " g", "g ", "\u00a0g", "g\u3000", "\u2028g", "g\u2029"],
    *["a\0b", "a\tb", "a\nb", "g\n", "\x7f", "a\x85b", "a\x9fb", "g" * 128, "😀" * 128, "a\ud800", *NO_TEXT],
]
ID_GOOD = [(1, 1), ("1", 1), ("+1", 1), ("007", 7), (2**63 - 1, 2**63 - 1), (str(2**63 - 1), 2**63 - 1)]
ID_BAD: list[Any] = [0, "0", -1, "-1", 2**63, str(2**63), "9" * 21, "9" * 5000, *NO_NUMBER]
MILLISECONDS_GOOD = [(0, 0), ("0", 0), ("-0", 0), (2**63 - 1, 2**63 - 1)]
MILLISECONDS_BAD: list[Any] = [-1, "-1", 2**63, str(2**63), *NO_NUMBER]

TEXTS_KEPT: dict[str, list[str]] = {
    "appId": IDENTIFIER_GOOD,
    "gatewayId": IDENTIFIER_GOOD,
    "groupId": IDENTIFIER_GOOD,
    "userId": IDENTIFIER_GOOD,
    "content": [
        *["", " ", "\0", "a\0b", '"', "\\", "\\n", "\n", "\r\n", "\u2028\u2029", "\ufeff", "\uffff", "😀"],
        *["x" * 65_535, "é" * 32_767 + "x", "😀" * 16_383 + "xyz"],
    ],
    "clientMessageId": ["1", " ", "~", "a" * 64, "{x}", '"\\'],
    "recallCause": ["", "\n", "x" * 255, "😀" * 255],
    "title": ["", "\n", "x" * 255, "😀" * 255],
    "jumpUrl": [
        *["", "https://example.org/?a=b#c", "myapp://room/1", "/relative", "mailto:a@b", "x" * 2048],
        *["https://example.org/javascript:", "javascripts:x", "x-javascript:1", "database:1"],
    ],
    "node": ["", "10.0.0.1:8003", "ws://push-node-0:8003", "x" * 255],
    "reason": ["", "x" * 123, "é" * 61 + "x", "维护"],
    "letterIds[]": ["0-0", "1796169600000-0", "9" * 19 + "-" + "9" * 19],
}
NUMBERS_READ: dict[str, list[tuple[Any, int]]] = {
    "type": [(1, 1), ("1", 1), ("-1", -1), (0, 0), (2**31 - 1, 2**31 - 1), (str(-(2**31)), -(2**31))],
    "messageId": ID_GOOD,
    "erasureId": ID_GOOD,
    "informationId": ID_GOOD,
    "limit": [(1, 1), ("1", 1), (500, 500), ("500", 500)],
    "startTime": MILLISECONDS_GOOD,
    "endTime": MILLISECONDS_GOOD,
    "minutes": [(1, 1), ("1", 1), (60, 60), ("60", 60)],
}
REFUSED: dict[str, list[Any]] = {
    "appId": IDENTIFIER_BAD,
    "gatewayId": IDENTIFIER_BAD,
    "groupId": IDENTIFIER_BAD,
    "userId": IDENTIFIER_BAD,
    "content": ["x" * 65_536, "é" * 32_768, "😀" * 16_384, "\ud800", "a\udfffb", *NO_TEXT],
    "type": [2**31, -(2**31) - 1, "2147483648", *NO_NUMBER],
    "clientMessageId": ["", "a" * 65, "é", "a\n", "\t", "\x7f", "\0", *NO_TEXT],
    "recallCause": ["x" * 256, "😀" * 256, "\ud800", *NO_TEXT],
    "title": ["x" * 256, "😀" * 256, "\ud800", *NO_TEXT],
    "jumpUrl": [
        *["javascript:alert(1)", " JavaScript:x", "JAVASCRIPT:x", "java\tscript:x", "java\nscript:x"],
        *["javascript\r\n:x", "\x01javascript:x", "\0javascript:x", "data:text/html,x", "Data:x"],
        *["vbscript:x", " \t vb\nScript:x", "x" * 2049, "\ud800", *NO_TEXT],
    ],
    "messageId": ID_BAD,
    "erasureId": ID_BAD,
    "informationId": ID_BAD,
    "limit": [0, "0", -1, 501, "501", *NO_NUMBER],
    "startTime": MILLISECONDS_BAD,
    "endTime": MILLISECONDS_BAD,
    "node": ["x" * 256, "\ud800", *NO_TEXT],
    "reason": ["x" * 124, "é" * 62, "\ud800", *NO_TEXT],
    "minutes": [0, "0", -1, 61, "61", *NO_NUMBER],
    "letterIds[]": ["", "1", "-", "1-", "1-1\n", "1-x", "9" * 20 + "-0", "$", *NO_TEXT],
}


def each(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(field, value, id=f"{field}-{number}")
        for field, values in table.items()
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("field", "text"), each(TEXTS_KEPT))
def test_a_good_text_is_kept_as_it_is(field: str, text: str) -> None:
    assert TYPES[field].validate_python(text) == text
    assert TYPES[field].validate_json(json.dumps(text)) == text
    assert TYPES[field].validate_json(json.dumps(text, ensure_ascii=False)) == text


@pytest.mark.parametrize(("field", "case"), each(NUMBERS_READ))
def test_a_good_number_may_be_a_decimal_string(field: str, case: tuple[Any, int]) -> None:
    value, number = case
    assert TYPES[field].validate_python(value) == number
    assert TYPES[field].validate_json(json.dumps(value)) == number


@pytest.mark.parametrize(("field", "value"), each(REFUSED))
def test_a_bad_value_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        TYPES[field].validate_python(value)
    with pytest.raises(ValidationError):
        TYPES[field].validate_json(json.dumps(value))


def test_every_field_has_its_bound_in_words_and_a_row_in_each_table() -> None:
    apart = {"withTotal", "messages", "minCursor", "order", "letterIds", "more"}
    # Their entries are groupIds.
    apart |= {"addGroups", "addGroups[]", "removeGroups", "removeGroups[]"}
    assert set(RULES) - apart == set(TYPES) == set(REFUSED)
    assert set(TYPES) == set(TEXTS_KEPT) | set(NUMBERS_READ)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_content_keeps_every_text(text: str) -> None:
    assert TYPES["content"].validate_json(json.dumps(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=127))
def test_identifiers_take_every_text_without_spaces_and_controls(text: str) -> None:
    assert TYPES["groupId"].validate_python(text) == text


def test_spaces_and_controls_are_what_unicode_calls_so_and_pythons_patterns_agree() -> None:
    published = re.compile(TYPES["groupId"].json_schema()["pattern"])
    is_valid = TYPES["groupId"].validator.isinstance_python
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    # Every character that is called anything like it, and its neighbours.
    for character in [each for each in characters if unicodedata.category(each) in _APART or each < "\u3100"]:
        is_control = unicodedata.category(character) == "Cc"
        expected = {f"a{character}a": not is_control}
        for at_an_end in (character, f"a{character}", f"{character}a"):
            expected[at_an_end] = not is_control and not character.isspace()
        for text, is_expected in expected.items():
            assert is_valid(text) is is_expected, repr(text)
            assert (published.fullmatch(text) is not None) is is_expected, repr(text)


@given(st.sampled_from(["javascript", "data", "vbscript"]), st.data())
def test_no_spelling_of_a_script_link_passes(scheme: str, data: st.DataObject) -> None:
    noise = st.text(st.characters(max_codepoint=0x20), max_size=3)
    letters = [data.draw(noise) + data.draw(st.sampled_from([c, c.upper()])) for c in f"{scheme}:"]
    with pytest.raises(ValidationError):
        TYPES["jumpUrl"].validate_python("".join(letters) + "x")
