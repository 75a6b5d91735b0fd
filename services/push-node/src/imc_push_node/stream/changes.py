"""What has changed in a shard since it was looked at: the newest entries of its stream of changes. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from imc_contracts import names
from imc_service.redis.connections import packed

LOG, GATEWAYS = "a", "g"
"""The fields of an entry: an app whose log has changed, or whose gateways have."""

MOST = 100
"""Entries of one read. If there are more, it takes less to look at all apps that a node has of the shard."""

NOTHING = b"0-0"
"""The position in a stream that was never written to."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The apps that have changed, up to ``end``."""

    end: bytes
    logs: frozenset[str]
    gateways: frozenset[str]


def since(shard: int, seen: bytes) -> bytes:
    """The command that reads the entries since ``seen``, that one included; `read` takes its reply."""
    return packed("XRANGE", names.changes(shard), seen, "+", "COUNT", str(MOST + 1))


@lru_cache(names.SHARDS)
def newest(shard: int) -> bytes:
    """The command that reads the newest entry; `end_of` takes its reply."""
    return packed("XREVRANGE", names.changes(shard), "+", "-", "COUNT", "1")


def read(reply: Sequence[Any], seen: bytes) -> Changes | None:
    """The changes since ``seen``; None if they are too many, or not known any more.

    The entry at ``seen`` must still be there. Otherwise it was cut off, or the stream is another one: Redis
    was emptied, or a replica that lags has taken over.
    """
    if len(reply) > MOST or (seen != NOTHING and (not reply or reply[0][0] != seen)):
        return None
    apps: dict[str, set[str]] = {LOG: set(), GATEWAYS: set()}
    for _, fields in reply if seen == NOTHING else reply[1:]:
        field, app_id = (cast(bytes, part).decode("utf-8", "replace") for part in fields[:2])
        if field in apps:
            apps[field].add(app_id)
    end = reply[-1][0] if reply else seen
    return Changes(end, frozenset(apps[LOG]), frozenset(apps[GATEWAYS]))


def end_of(reply: Sequence[Any]) -> bytes:
    """The position of the newest entry."""
    return reply[0][0] if reply else NOTHING
