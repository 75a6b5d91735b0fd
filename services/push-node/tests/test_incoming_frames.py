import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from imc_contracts.codes import ErrorCode
from imc_push_node.forwarding.incoming_frames import Reading, read_frames
from imc_push_node.gateway.frames import Refusal

BODY = {"groupId": "g", "userId": "u", "content": "hello"}


def read(value: Any) -> Reading:
    return read_frames([json.dumps(value).encode()], "app", 6000)


def test_one_body() -> None:
    reading = read({**BODY, "type": "7", "clientMessageId": "mine", "unknown": 1})
    ((send, index),) = reading.sends
    assert index is None
    assert reading.refusals == []
    assert (send.app_id, send.group_id, send.user_id, send.content) == ("app", "g", "u", "hello")
    assert (send.type, send.client_message_id) == (7, "mine")


def test_the_app_of_the_path_may_be_repeated_or_left_out() -> None:
    assert read({**BODY, "appId": None}).sends[0].message.app_id == "app"
    assert read({**BODY, "appId": "app"}).sends[0].message.app_id == "app"


@pytest.mark.parametrize("app_id", ["other", "APP", "", 5])
def test_another_app_is_refused(app_id: Any) -> None:
    reading = read({**BODY, "appId": app_id, "clientMessageId": "mine"})
    assert reading.sends == []
    (refusal,) = reading.refusals
    assert "appId" in refusal.reason
    assert refusal.client_message_id == "mine"


def test_a_list_keeps_its_order_and_its_bad_items_fail_alone() -> None:
    items = [{**BODY, "content": "0"}, {"groupId": "g"}, 5, {**BODY, "content": "3"}, [BODY]]
    reading = read(items)
    assert [send.message.content for send in reading.sends] == ["0", "3"]
    assert len(reading.refusals) == 3
    assert [send.list_index for send in reading.sends] == [0, 3]
    assert reading.refusals[0].reason.startswith("[1].userId is missing")
    assert reading.refusals[1] == Refusal(ErrorCode.INVALID_FIELD, "[2] is not a JSON object", index=2)
    assert [refusal.index for refusal in reading.refusals] == [1, 2, 4]


@pytest.mark.parametrize("count", [1, 500])
def test_lists_up_to_the_limit(count: int) -> None:
    assert len(read([BODY] * count).sends) == count


@pytest.mark.parametrize("count", [0, 501])
def test_lists_beyond_the_limit_are_refused_whole(count: int) -> None:
    reading = read([BODY] * count)
    assert reading.sends == []
    assert reading.refusals == [
        Refusal(ErrorCode.INVALID_FIELD, "a list in a frame must hold 1 to 500 messages")
    ]


@pytest.mark.parametrize("text", [b"", b"{", b"hello", b"NaN", b'{"a":"\\ud800"}', b"[" * 100_000])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    reading = read_frames([text], "app", 6000)
    assert reading.sends == []
    (refusal,) = reading.refusals
    assert "not valid JSON" in refusal.reason
    assert refusal.client_message_id is None


@pytest.mark.parametrize("value", [None, 5, "text", True])
def test_json_that_is_no_body_is_refused(value: Any) -> None:
    assert len(read(value).refusals) == 1


@pytest.mark.parametrize("own_id", ["", "é", "x" * 65, 5, None])
def test_an_own_id_that_is_none_is_not_repeated(own_id: Any) -> None:
    (refusal,) = read({"clientMessageId": own_id}).refusals
    assert refusal.client_message_id is None


@given(st.binary())
@example(b'{"token":""}')
@example(b'{"groups":{"add":["g"]}}')
def test_no_bytes_raise(text: bytes) -> None:
    reading = read_frames([text], "app", 6000)
    assert reading.sends or reading.refusals or reading.tokens or reading.group_changes


def test_frames_of_all_kinds_in_one_wake_up() -> None:
    bodies: list[Any] = [
        {**BODY, "content": "0"},
        [{**BODY, "content": "1"}, {**BODY, "content": "2"}],
        {"token": "first"},
        {**BODY, "content": 5},
        {**BODY, "content": "3"},
        {"token": "second"},
        [],
    ]
    texts = [json.dumps(body).encode() for body in bodies]
    reading = read_frames([*texts, b"{"], "app", 6000)
    assert [send.message.content for send in reading.sends] == ["0", "1", "2", "3"]
    assert reading.tokens == ["first", "second"]
    assert [refusal.reason.partition(" ")[0] for refusal in reading.refusals] == ["content", "a", "the"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*BODY, "appId", "type"]), inner),
    max_leaves=8,
)


sends = st.fixed_dictionaries(
    {name: st.sampled_from(["a", "b"]) | st.just("") for name in BODY},
    optional={"appId": st.sampled_from(["app", "other"]), "token": st.just("t")},
)


@given(st.lists(sends | st.lists(sends, max_size=2) | st.just({"token": "t"}), min_size=1, max_size=4))
def test_together_frames_are_read_as_each_by_itself(bodies: list[Any]) -> None:
    texts = [json.dumps(body).encode() for body in bodies]
    each = [read_frames([text], "app", 6000) for text in texts]
    together = read_frames(texts, "app", 6000)
    assert together.sends == [send for reading in each for send in reading.sends]
    assert together.refusals == [refusal for reading in each for refusal in reading.refusals]
    assert together.tokens == [token for reading in each for token in reading.tokens]


@settings(max_examples=50)
@given(json_values)
def test_no_json_raises(value: Any) -> None:
    reading = read(value)
    count = len(value) if isinstance(value, list) and value else 1
    assert len(reading.sends) + len(reading.refusals) == count
