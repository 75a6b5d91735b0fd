"""Queries of a long history, with the expected replies."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import orjson

from imc_bench.http import callers
from imc_bench.rows import InvalidRun
from imc_bench.store.history import APP, LONG_GROUP, History

SIZE = 20
DEEP_PAGE = 1_000
_LONG = f"appId={APP}&groupId={LONG_GROUP}"
_V1 = "/v1/queries/messages"


@dataclass(frozen=True)
class Query:
    """One request, and the expected message ids; None if only their number and order can be checked."""

    request: bytes
    expected: list[str] | None


@dataclass(frozen=True)
class QueryKind:
    """A kind of query; ``draw`` makes a random one."""

    name: str
    draw: Callable[[History, Random], Query]

    def queries(self, stored: History, seed: int) -> Iterator[Query]:
        """Endless queries, the same for the same seed."""
        chance = Random(seed)  # noqa: S311 - repeatable, not secret
        while True:
            yield self.draw(stored, chance)


def _page(stored: History, number: int) -> Query:
    target = f"/chat/message/findByGroupId?{_LONG}&pageSize={SIZE}&pageNum={number}"
    return Query(callers.get(target), stored.long_ids(SIZE * (number - 1), SIZE * number))


def _newest(stored: History, _: Random) -> Query:
    total = stored.long_total
    return Query(callers.get(f"{_V1}?{_LONG}&limit={SIZE}"), stored.long_ids(total - SIZE, total))


def _before(stored: History, chance: Random) -> Query:
    place = chance.randrange(SIZE, stored.long_total)
    target = f"{_V1}?{_LONG}&limit={SIZE}&before={stored.long_id(place)}"
    return Query(callers.get(target), stored.long_ids(place - SIZE, place))


def _after(stored: History, chance: Random) -> Query:
    place = chance.randrange(stored.long_total - SIZE)
    target = f"{_V1}?{_LONG}&limit={SIZE}&after={stored.long_id(place)}"
    return Query(callers.get(target), stored.long_ids(place + 1, place + 1 + SIZE))


def _of_any_group(stored: History, chance: Random) -> Query:
    group = f"group-{chance.randrange(stored.groups)}"
    return Query(
        callers.get(f"/chat/message/findByGroupId?appId={APP}&groupId={group}&pageSize={SIZE}"), None
    )


def _of_user(stored: History, chance: Random) -> Query:
    # Counting the messages of the few busiest users takes longer as the table grows; leave them out.
    user = f"user-{chance.randrange(stored.users // 2, stored.users)}"
    return Query(callers.get(f"/chat/message/findByUserId?appId={APP}&userId={user}&pageSize={SIZE}"), None)


FIRST = QueryKind("first page", lambda stored, _: _page(stored, 1))
DEEP = QueryKind(f"page {DEEP_PAGE:,}", lambda stored, _: _page(stored, DEEP_PAGE))
NEWEST = QueryKind("newest page", _newest)
BEFORE = QueryKind("before", _before)
AFTER = QueryKind("after", _after)
ANY_GROUP = QueryKind("first page of any group", _of_any_group)
USER = QueryKind("first page of a user", _of_user)


def check(query: Query, reply: bytes) -> None:
    """Check a reply. Raises `InvalidRun` if it is wrong."""
    data: Any = orjson.loads(reply)["data"]
    messages = cast("list[Any]", data["messages"] if "messages" in data else data["pageMessageList"])
    ids = [message["messageId"] for message in messages]
    places = [(message["createTime"], int(message["messageId"])) for message in messages]
    is_expected = ids == query.expected if query.expected is not None else 0 < len(ids) <= SIZE
    if not is_expected or places != sorted(set(places)):
        raise InvalidRun(f"{query.request!r} was answered with {ids}")
