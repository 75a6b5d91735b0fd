import json

from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import envelope
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused


def test_a_success_has_code_0() -> None:
    assert (
        envelope.encode(envelope.success([1])) == b'{"success":true,"code":0,"message":"success","data":[1]}'
    )


def test_a_failure_has_its_code_and_no_data() -> None:
    refused = Refused(ErrorCode.MESSAGE_NOT_FOUND, "no such message")
    expected = b'{"success":false,"code":40401,"message":"no such message","data":null}'
    assert envelope.encode(envelope.failure_of(refused)) == expected
    assert envelope.encode(envelope.failure(ErrorCode.MESSAGE_NOT_FOUND, "no such message")) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts_are_written_as_they_are(text: str) -> None:
    encoded = envelope.encode(envelope.success(text))
    assert json.loads(encoded)["data"] == text
    assert b"\n" not in encoded


def test_characters_are_not_escaped() -> None:
    assert envelope.encode("é😀\u2028") == '"é😀\u2028"'.encode()
