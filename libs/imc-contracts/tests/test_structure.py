import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import structure
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_contracts.structure import MAX_VALUES, require_bounded
from imc_contracts.validation import parse_json

_STRINGS = st.text(st.sampled_from('\\"[]{},:x\n\u00e9\u0000')) | st.text()
_JSON = st.recursive(
    st.none() | st.integers() | _STRINGS,
    lambda inner: st.lists(inner) | st.dictionaries(_STRINGS, inner),
    max_leaves=40,
)


def counted(value: Any) -> int:
    """The values within ``value``, where an empty list or object counts as if it held one."""
    if not isinstance(value, list | dict):
        return 0
    inner = cast(
        "list[Any]", list(cast("dict[str, Any]", value).values()) if isinstance(value, dict) else value
    )
    return max(1, len(inner)) + sum(map(counted, inner))


def is_refused(text: bytes) -> bool:
    try:
        require_bounded(text)
    except Refused:
        return True
    return False


@given(_JSON, st.booleans(), st.integers(1, 9))
def test_values_are_counted_outside_of_strings(value: Any, is_ascii: bool, step: int) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "replace")
    count = counted(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "_STEP", step)
        patch.setattr(structure, "UNCOUNTED_BYTES", 0)
        patch.setattr(structure, "MAX_VALUES", count)
        assert not is_refused(text)
        if count > 0:
            patch.setattr(structure, "MAX_VALUES", count - 1)
            assert is_refused(text)


@pytest.mark.parametrize(
    "value",
    [
        b"[]",
        b"{}",
        b"0",
        b'""',
        b'{"a":{}}',
        b'"\\\\"',
        b'"\\""',
        b'"]\\\\\\""',
    ],
)
def test_too_many_values_are_refused_in_an_unknown_field(value: bytes) -> None:
    good = b'{"appId":"a","groupId":"g","userId":"u","content":"c","other":[%b]}'
    with pytest.raises(Refused, match=r"^40001: body holds too many values: it must hold at most 50000"):
        parse_json(SendMessage, good % b",".join([value] * (MAX_VALUES + 1)))
    assert parse_json(SendMessage, good % b",".join([value] * (MAX_VALUES // 4))).content == "c"


@pytest.mark.parametrize(
    "content", ["," * 65_535, "[" * 65_535, '"' * 65_535, "\\" * 65_535, '\\",{' * 16_383]
)
def test_structure_in_a_content_is_content(content: str) -> None:
    body = {"appId": "a", "groupId": "g", "userId": "u", "content": content}
    assert parse_json(SendMessage, json.dumps(body).encode()).content == content


def test_a_text_is_named() -> None:
    with pytest.raises(Refused, match="the frame holds"):
        require_bounded(b"[" + b"[]," * 50_000 + b"0]", "the frame")
