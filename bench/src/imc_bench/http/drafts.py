"""Requests that send unique messages, made from templates into which numbers are inserted."""

from collections.abc import Iterator
from itertools import count, islice

import orjson

from imc_bench.http import callers

CONTENT_CHARACTERS = 200
"""A message of this length is pushed as some 350 bytes."""

_NUMBER = b"########"
GROUPS = 50
USERS = 400


def content_of(sender: int, number: int, place: int = 0) -> str:
    """The content of the message at ``place`` in request ``number`` of ``sender``."""
    return f"{sender:04}-{place:03}-{number:08} ".ljust(CONTENT_CHARACTERS, "x")


def message(app_id: str, sender: int, number: int, place: int = 0) -> dict[str, str]:
    """The body of one send. Group and user depend on sender and place."""
    spread = sender * 37 + place
    return {
        "appId": app_id,
        "groupId": f"group-{spread % GROUPS}",
        "userId": f"user-{spread % USERS}",
        "content": content_of(sender, number, place),
    }


def singles(app_id: str, path: str, sender: int) -> Iterator[bytes]:
    """Endless POST requests of one message each."""
    return numbered(callers.post(path, orjson.dumps(message(app_id, sender, 0))))


def batches(app_id: str, path: str, sender: int, size: int) -> Iterator[bytes]:
    """Endless POST requests of ``size`` messages each."""
    messages = [message(app_id, sender, 0, place) for place in range(size)]
    return numbered(callers.post(path, orjson.dumps({"messages": messages})))


def first(count: int | None, requests: Iterator[bytes]) -> Iterator[bytes]:
    """The first ``count`` requests, or all if it is None."""
    return requests if count is None else islice(requests, count)


def numbered(request: bytes) -> Iterator[bytes]:
    """Repeat a request, whose contents are those of `message`, with 0, 1, 2, … as their number."""
    template = request.replace(b"-00000000 ", b"-" + _NUMBER + b" ")
    for number in count():
        yield template.replace(_NUMBER, b"%08d" % number)
