"""Collects acknowledged messages and the messages in the log, to compare them."""

import math
import secrets
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import orjson
from imc_contracts import names
from redis.asyncio import Redis

from imc_bench.http import callers, drafts, log_check
from imc_bench.http.callers import Calls
from imc_bench.http.log_check import Acknowledged, Logged

PATH, BATCH_PATH = "/v1/commands/send-message", "/v1/commands/send-messages"
CALLERS = 64
"""How many connections send where nothing else is said."""
_FILLERS = 4
_FILL_BATCH = 500


def new_app() -> str:
    """A new app id."""
    return f"bench-{secrets.token_hex(4)}"


def acknowledged_singles(calls: Calls) -> list[list[Acknowledged]]:
    """The acknowledged messages of `drafts.singles`, by caller, in order."""
    return [
        [_acknowledged(orjson.loads(reply), sender, number, 0) for number, reply in enumerate(replies)]
        for sender, replies in enumerate(calls.replies)
    ]


def acknowledged_batches(calls: Calls) -> list[list[Acknowledged]]:
    """The acknowledged messages of `drafts.batches`, by caller, in order."""
    return [
        [
            _acknowledged(receipt, sender, number, place)
            for number, reply in enumerate(replies)
            for place, receipt in enumerate(orjson.loads(reply)["data"])
        ]
        for sender, replies in enumerate(calls.replies)
    ]


async def logged(redis: Redis, app_id: str, key: str | None = None, field: bytes = b"v") -> list[Logged]:
    """All messages in the log of an app, or in another stream and field."""
    return [
        Logged((view := orjson.loads(fields[field]))["messageId"], entry, view["content"])
        async for entry, fields in log_check.entries(redis, key or names.log(app_id))
    ]


async def fill(url: str, app_id: str, messages: int) -> list[list[Acknowledged]]:
    """Send ``messages`` messages to command-api in batches; return the acknowledged messages."""
    batches = messages // (_FILLERS * _FILL_BATCH)

    def requests(sender: int) -> Iterator[bytes]:
        return islice(drafts.batches(app_id, BATCH_PATH, sender, _FILL_BATCH), batches)

    return acknowledged_batches(await callers.call(url, _FILLERS, math.inf, requests))


async def forget(redis: Any, app_id: str) -> None:
    """Delete all keys of an app from Redis."""
    shard = names.shard_of(app_id)
    for key in (names.apps(shard), names.pending(shard)):
        await redis.zrem(key, app_id)
    pattern = f"imc:{{{shard}}}:*:{app_id}*"
    keys: Sequence[bytes] = [key async for key in redis.scan_iter(match=pattern, count=1000)]
    await redis.unlink(*keys)


def _acknowledged(receipt: dict[str, Any], sender: int, number: int, place: int) -> Acknowledged:
    receipt = receipt.get("data", receipt)  # the plain application has no envelope
    entry = receipt["cursor"].rpartition(".")[2]
    return Acknowledged(receipt["messageId"], entry, drafts.content_of(sender, number, place))
