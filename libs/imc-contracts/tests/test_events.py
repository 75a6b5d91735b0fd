from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imc_contracts import events
from imc_contracts.cursor import EntryId
from imc_contracts.events import Entry, Event, EventKind, LiveBatch, MalformedEvent, RecallMark
from imc_contracts.views import Erasure, Message, Notice

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from(
    ["\u2028\u2029", "a\nb\r\nc\x0b\x0c\x85", "\0", '"\\', "😀", " s ", "\n1-1 s {}"]
)
times = st.integers(0, 2**63 - 1)
entry_ids = st.builds(EntryId, st.integers(0, 10**13 - 1), st.integers(0, 10**10 - 1))


def view(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({name: fields.get(name, texts) for name in fields})


optional_type = st.none() | st.integers(-(2**31), 2**31 - 1)
messages: st.SearchStrategy[Message] = view(
    messageId=times.map(str),
    appId=st.just("app"),
    groupId=texts,
    userId=texts,
    content=texts,
    createTime=times,
    recallTime=times,
    recallCause=st.none() | texts,
    status=st.sampled_from([0, 1]),
    type=optional_type,
)
notices: st.SearchStrategy[Notice] = view(
    informationId=times.map(str),
    appId=st.just("app"),
    groupId=texts,
    userId=texts,
    title=st.none() | texts,
    content=texts,
    createTime=times,
    deleteTime=times,
    jumpUrl=st.none() | texts,
    status=st.sampled_from([0, 1]),
    type=optional_type,
)
erasures: st.SearchStrategy[Erasure] = view(
    erasureId=times.map(str),
    appId=st.just("app"),
    userId=st.none() | texts,
    groupId=st.none() | texts,
    eraseTime=times,
)
any_event: st.SearchStrategy[Event] = st.one_of(
    messages.map(events.message_sent),
    messages.map(events.message_recalled),
    notices.map(events.notice_published),
    notices.map(events.notice_deleted),
    erasures.map(events.erasure),
)
entries = st.tuples(entry_ids, any_event).map(lambda pair: pair[1].at(pair[0]))


def fields_of(event: Event) -> dict[bytes, bytes]:
    return {b"k": event.kind.value, b"v": event.body}


def payload_of(epoch: str, prev: EntryId, batch: list[Entry]) -> bytes:
    """What the append script publishes."""
    lines = [b"%s %s %s" % (entry.id_text, entry.kind.value, entry.body) for entry in batch]
    return b"\n".join([f"{epoch} {prev}".encode(), *lines])


@given(messages)
def test_a_message_survives_its_event(message: Message) -> None:
    assert events.read_message(events.message_sent(message).body) == message
    assert events.read_message(events.message_recalled(message).body) == message


@given(notices)
def test_a_notice_survives_its_event(notice: Notice) -> None:
    assert events.read_notice(events.notice_published(notice).body) == notice
    assert events.read_notice(events.notice_deleted(notice).body) == notice


@given(erasures)
def test_an_erasure_survives_its_event(erasure: Erasure) -> None:
    assert events.read_erasure(events.erasure(erasure).body) == erasure


def test_everybody_is_told_of_an_erasure() -> None:
    subject: Erasure = {"erasureId": "1", "appId": "a", "userId": None, "groupId": "g", "eraseTime": 1}
    assert events.erasure(subject).at(EntryId(1, 1)).group_id is None


def test_an_entry_that_was_erased_is_no_event() -> None:
    assert events.is_erased(events.ERASED_FIELDS)
    assert not events.is_erased(fields_of(events.message_sent({**GOOD})))  # pyright: ignore
    with pytest.raises(MalformedEvent):
        events.read_entry(b"1-1", events.ERASED_FIELDS)


@given(any_event, entry_ids)
def test_an_entry_is_read_as_redis_returns_it(event: Event, entry_id: EntryId) -> None:
    entry = events.read_entry(str(entry_id).encode(), {**fields_of(event), b"later": b"version"})
    assert entry == event.at(entry_id)
    assert entry.id == entry_id


@given(entry_ids, st.lists(entries, min_size=1, max_size=5))
def test_a_batch_is_read_as_it_was_published(prev: EntryId, batch: list[Entry]) -> None:
    assert events.read_live_batch(payload_of("k3v", prev, batch)) == LiveBatch("k3v", prev, batch)


TRACES = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]


@given(entry_ids, st.lists(entries, min_size=1, max_size=3), st.lists(st.sampled_from(TRACES), max_size=3))
def test_the_traces_of_a_batch_come_with_it(prev: EntryId, batch: list[Entry], traces: list[str]) -> None:
    payload = payload_of(" ".join(["k3v", str(prev), *traces]), prev, batch)
    payload = payload.replace(f" {prev}\n".encode(), b"\n", 1)
    assert events.read_live_batch(payload) == LiveBatch("k3v", prev, batch, tuple(traces))


def test_the_trace_of_an_entry_is_read_beside_it() -> None:
    fields = {b"k": b"s", b"v": b"{}", b"t": TRACES[0].encode()}
    assert events.trace_of(fields) == TRACES[0]
    assert events.read_entry("1-1", fields) == Event(EventKind.MESSAGE_SENT, b"{}").at(EntryId(1, 1))
    assert events.trace_of({b"k": b"s", b"v": b"{}"}) is None
    assert events.trace_of({b"t": b"\xff"}) == "\ufffd"


def test_kinds_of_the_log() -> None:
    assert {kind.name: kind.value for kind in EventKind} == {
        "MESSAGE_SENT": b"s",
        "MESSAGE_RECALLED": b"r",
        "NOTICE_PUBLISHED": b"p",
        "NOTICE_DELETED": b"d",
        "ERASURE": b"e",
    }
    assert {kind for kind in EventKind if kind.is_notice} == {
        EventKind.NOTICE_PUBLISHED,
        EventKind.NOTICE_DELETED,
    }


GOOD = {
    "messageId": "1",
    "appId": "a",
    "groupId": "g",
    "userId": "u",
    "content": "",
    "createTime": 1,
    "recallTime": 0,
    "recallCause": None,
    "status": 1,
    "type": None,
}


def test_fields_of_a_later_version_are_ignored() -> None:
    assert events.read_message(orjson.dumps({**GOOD, "later": [1]})) == GOOD


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"{", b"null", b"[]", b"{}", b"\xff"],
        *[orjson.dumps({k: v for k, v in GOOD.items() if k != name}) for name in GOOD],
        orjson.dumps({**GOOD, "messageId": 1}),
        orjson.dumps({**GOOD, "createTime": "1"}),
        orjson.dumps({**GOOD, "status": True}),
        orjson.dumps({**GOOD, "content": None}),
    ],
)
def test_a_body_that_is_no_message_or_notice_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedEvent, match="the body is no message"):
        events.read_message(body)
    with pytest.raises(MalformedEvent, match="the body is no notice"):
        events.read_notice(body)
    with pytest.raises(MalformedEvent, match="the body is no erasure"):
        events.read_erasure(body)


def test_a_malformed_event_shows_no_content() -> None:
    with pytest.raises(MalformedEvent) as caught:
        events.read_message(orjson.dumps({**GOOD, "content": "secret", "type": "secret"}))
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("entry_id", "fields"),
    [
        (b"1-1", {}),
        (b"1-1", {b"k": b"s"}),
        (b"1-1", {b"v": b"{}"}),
        (b"1-1", {b"k": b"x", b"v": b"{}"}),
        (b"1-1", {b"k": b"", b"v": b"{}"}),
        (b"1-1", {b"hello": b"world"}),
    ],
)
def test_an_entry_of_anybody_else_is_malformed(entry_id: bytes, fields: dict[bytes, bytes]) -> None:
    with pytest.raises(MalformedEvent, match="no known kind or no body"):
        events.read_entry(entry_id, fields)


@pytest.mark.parametrize("entry_id", [b"one", b"10000000000000-0", b"1-10000000000"])
def test_an_entry_whose_id_no_table_can_hold_is_malformed(entry_id: bytes) -> None:
    with pytest.raises(MalformedEvent, match="an id that no table can hold"):
        events.read_entry(entry_id, {b"k": b"s", b"v": b"{}"})


@pytest.mark.parametrize(
    "payload",
    [
        *[b"", b"k3v", b"k3v 1", b"k3v 1-1 x", b"\xff 1-1", b"k3v 1-1\n", b"k3v 1-1\n1-2", b"k3v 1-1\n1-2 s"],
        *[b"k3v 1-1\n1-2 x {}", b"k3v 1-1\nx s {}", b"k3v 1-1\n1-2 s {}\n", b"k3v 1-1\r\n1-2 s {}"],
    ],
)
def test_a_payload_of_anybody_else_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEvent, match="not a published batch"):
        events.read_live_batch(payload)


@given(st.binary(max_size=60))
def test_any_payload_is_a_batch_or_malformed(payload: bytes) -> None:
    try:
        events.read_live_batch(payload)
    except MalformedEvent:
        return


@given(times.map(str), times, st.none() | texts)
def test_a_recall_mark_reads_what_it_writes(message_id: str, time: int, cause: str | None) -> None:
    mark = RecallMark(message_id, time, cause)
    assert RecallMark.read(mark.encode()) == mark
