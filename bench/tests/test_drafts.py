from itertools import islice

import orjson
from imc_bench.http import drafts


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return body


def test_each_message_contains_its_sender_and_number() -> None:
    requests = islice(drafts.singles("app", "/path", 3), 3)
    contents = [orjson.loads(body_of(request))["content"] for request in requests]
    assert contents == [drafts.content_of(3, number) for number in range(3)]
    assert len({*contents}) == 3
    assert {len(content) for content in contents} == {drafts.CONTENT_CHARACTERS}


def test_each_message_of_a_batch_contains_its_sender_number_and_place() -> None:
    requests = list(drafts.first(2, drafts.batches("app", "/path", 1, 5)))
    batches = [orjson.loads(body_of(request))["messages"] for request in requests]
    assert [[message["content"] for message in batch] for batch in batches] == [
        [drafts.content_of(1, number, place) for place in range(5)] for number in range(2)
    ]


def test_first_without_a_count_takes_all_requests() -> None:
    assert len(list(islice(drafts.first(None, drafts.singles("app", "/path", 0)), 10))) == 10
