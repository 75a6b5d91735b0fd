"""Frames of the Java door, read without a node."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts.codes import ErrorCode
from imc_push_node.forwarding.incoming_frames import Reading
from imc_push_node.forwarding.java_frames import read_java_frames

BODY = {"groupId": "g", "userId": "u", "content": "hello"}


def read(*texts: bytes, most_refusals: int = 6000) -> Reading:
    return read_java_frames(texts, "app", most_refusals)


def encoded(**fields: Any) -> bytes:
    return json.dumps({**BODY, **fields}).encode()


def test_the_app_may_be_left_out_or_be_that_of_the_path() -> None:
    reading = read(encoded(), encoded(appId=None), encoded(appId="app"), encoded(appId="other"))
    assert [send.message.app_id for send in reading.sends] == ["app"] * 3
    (refusal,) = reading.refusals
    assert (refusal.error, "appId" in refusal.reason) == (ErrorCode.INVALID_FIELD, True)


def test_an_own_id_is_unknown_to_the_java_version() -> None:
    ((message, index),) = read(encoded(clientMessageId="mine")).sends
    assert (message.client_message_id, index) == (None, None)


@pytest.mark.parametrize("fields", [{}, {"appId": "app"}, {"userId": 7}])
@pytest.mark.parametrize(
    ("before", "after"), [(b"\xef\xbb\xbf", b""), (b" \n", b"\n"), (b"", b"{} and more")]
)
def test_only_the_first_value_of_a_frame_is_read(fields: dict[str, Any], before: bytes, after: bytes) -> None:
    reading = read(before + encoded(**fields) + after)
    assert [send.message.content for send in reading.sends] == ["hello"]


@pytest.mark.parametrize("text", [b'{"groupId":"g","userId":"u"}', encoded(content=None)])
def test_absent_content_is_empty(text: bytes) -> None:
    assert [send.message.content for send in read(text).sends] == [""]


@pytest.mark.parametrize("text", [b"", b"{", b"7", b'"x"', b"null", b"[]", b"[{}]", b'{"token":"x"}'])
def test_what_is_no_body_is_refused(text: bytes) -> None:
    reading = read(text)
    assert (len(reading.refusals), reading.sends, reading.tokens) == (1, [], [])


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"a":' * 40_000, b"[0" + b",0" * 400_000 + b"]", b'{"a":[' + b"{}," * 60_000]
)
def test_a_frame_of_too_much_structure_is_refused(text: bytes) -> None:
    assert len(read(text).refusals) == 1


def test_reading_ends_after_too_many_refusals() -> None:
    reading = read(*[b"{"] * 10, encoded(), most_refusals=3)
    assert (len(reading.refusals), reading.sends) == (4, [])


@given(st.binary())
def test_no_bytes_raise(text: bytes) -> None:
    reading = read(text)
    assert len(reading.sends) + len(reading.refusals) == 1
