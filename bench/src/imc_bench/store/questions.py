"""What is asked of a long history, and the only right answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import orjson

from imc_bench.http import callers
from imc_bench.rows import Faulty
from imc_bench.store.history import APP, LONG_GROUP, History

SIZE = 20
DEEP_PAGE = 1_000
_LONG = f"appId={APP}&groupId={LONG_GROUP}&pageSize={SIZE}"


@dataclass(frozen=True)
class Asked:
    """One request, and the ids that answer it; None where only their number and order are known."""

    request: bytes
    answer: list[str] | None


@dataclass(frozen=True)
class Question:
    """A kind of request; each caller draws its own by lot."""

    name: str
    draw: Callable[[History, Random], Asked]

    def asked(self, stored: History, seed: int) -> Iterator[Asked]:
        """Requests without end, the same for the same seed."""
        chance = Random(seed)  # noqa: S311 - to be repeated, not secret
        while True:
            yield self.draw(stored, chance)


def _page(stored: History, number: int) -> Asked:
    target = f"/chat/message/findByGroupId?{_LONG}&pageNum={number}"
    return Asked(callers.get(target), stored.long_ids(SIZE * (number - 1), SIZE * number))


def _before(stored: History, chance: Random) -> Asked:
    place = chance.randrange(SIZE, stored.long_total)
    target = f"/chat/message/findBeforeByMessageId?{_LONG}&messageId={stored.long_id(place)}"
    return Asked(callers.get(target), stored.long_ids(place - SIZE, place))


def _after(stored: History, chance: Random) -> Asked:
    place = chance.randrange(stored.long_total - SIZE)
    target = f"/chat/message/findAfterByMessageId?{_LONG}&messageId={stored.long_id(place)}"
    return Asked(callers.get(target), stored.long_ids(place + 1, place + 1 + SIZE))


def _of_any_group(stored: History, chance: Random) -> Asked:
    group = f"group-{chance.randrange(stored.groups)}"
    return Asked(
        callers.get(f"/chat/message/findByGroupId?appId={APP}&groupId={group}&pageSize={SIZE}"), None
    )


def _of_user(stored: History, chance: Random) -> Asked:
    # Of the busiest a count alone grows with the table: those are few, and not what is asked about here.
    user = f"user-{chance.randrange(stored.users // 2, stored.users)}"
    return Asked(callers.get(f"/chat/message/findByUserId?appId={APP}&userId={user}&pageSize={SIZE}"), None)


FIRST = Question("first page", lambda stored, _: _page(stored, 1))
DEEP = Question(f"page {DEEP_PAGE:,}", lambda stored, _: _page(stored, DEEP_PAGE))
BEFORE = Question("before", _before)
AFTER = Question("after", _after)
ANY_GROUP = Question("first page of any group", _of_any_group)
USER = Question("first page of a user", _of_user)


def check(asked: Asked, reply: bytes) -> None:
    """Hold a reply against what is right; raises `Faulty`."""
    data: Any = orjson.loads(reply)["data"]
    messages = cast("list[Any]", data if isinstance(data, list) else data["pageMessageList"])
    ids = [message["messageId"] for message in messages]
    places = [(message["createTime"], int(message["messageId"])) for message in messages]
    right = ids == asked.answer if asked.answer is not None else 0 < len(ids) <= SIZE
    if not right or places != sorted(set(places)):
        raise Faulty(f"{asked.request!r} was answered with {ids}")
