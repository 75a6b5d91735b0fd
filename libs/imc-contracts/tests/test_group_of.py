"""The group of an event is found in its body without parsing it, whatever people write."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imc_contracts.cursor import EntryId
from imc_contracts.events import Event, EventKind, group_of, message_sent
from imc_contracts.views import Message

tricky = st.sampled_from(['"groupId":"x"', '\\"groupId\\":\\"x', "\\", '"', "é", "😀", '","groupId":"y'])
texts = st.lists(tricky | st.text(max_size=5), max_size=4).map("".join)


@settings(max_examples=300, deadline=None)
@given(ids=st.tuples(texts, texts, texts), content=texts, cause=texts | st.none())
def test_it_is_that_of_the_message(ids: tuple[str, str, str], content: str, cause: str | None) -> None:
    app_id, group_id, user_id = ids
    message: Message = {
        "messageId": "1",
        "appId": app_id,
        "groupId": group_id,
        "userId": user_id,
        "content": content,
        "createTime": 1,
        "recallTime": 0,
        "recallCause": cause,
        "status": 1,
        "type": None,
    }
    assert group_of(message_sent(message).body) == group_id
    backwards = dict(reversed(message.items()))
    assert group_of(orjson.dumps(backwards)) == group_id
    assert group_of(orjson.dumps(message, option=orjson.OPT_INDENT_2)) == group_id


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"5", b'{"groupId":null}', b'{"groupId":5}', b"\xff"])
def test_a_body_without_a_group_has_none(body: bytes) -> None:
    assert group_of(body) is None


def test_an_erasure_is_for_all_gateways() -> None:
    body = b'{"erasureId":"1","appId":"a","userId":null,"groupId":"g","eraseTime":1}'
    assert Event(EventKind.ERASURE, body).at(EntryId(1, 0)).group_id is None
    assert Event(EventKind.MESSAGE_SENT, body).at(EntryId(1, 0)).group_id == "g"
