"""Checks that a log holds all acknowledged messages once, in each sender's order, byte for byte."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from imc_bench.rows import InvalidRun

_ENTRIES_PER_READ = 5_000

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A message as acknowledged to its sender. ``entry`` is the id of its log entry."""

    message_id: str
    entry: str
    content: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A message in the log."""

    message_id: str
    entry: str
    content: str


async def entries(redis: Redis, key: str) -> AsyncGenerator[tuple[str, Fields]]:
    """Yield all entries of a stream, in order."""
    start = "-"
    while True:
        found = cast(
            "list[tuple[bytes, Fields]]",
            await redis.xrange(key, start, count=_ENTRIES_PER_READ),  # pyright: ignore[reportUnknownMemberType]
        )
        for entry_id, fields in found:
            yield entry_id.decode(), fields
        if len(found) < _ENTRIES_PER_READ:
            return
        start = f"({found[-1][0].decode()}"


def check(acknowledged: Iterable[Sequence[Acknowledged]], logged: Sequence[Logged]) -> str:
    """Compare the acknowledged messages of each sender with the log. Return what was verified, as text.

    Raises `InvalidRun` if a message was lost, repeated, reordered or changed.
    """
    places = {each.message_id: place for place, each in enumerate(logged)}
    if len(places) != len(logged):
        raise InvalidRun(f"{len(logged) - len(places)} messages are in the log twice")
    count = 0
    for sender, receipts in enumerate(acknowledged):
        count += len(receipts)
        before = -1
        for receipt in receipts:
            place = places.get(receipt.message_id)
            if place is None:
                raise InvalidRun(f"message {receipt.message_id} was acknowledged and is not in the log")
            held = logged[place]
            if held.content != receipt.content:
                raise InvalidRun(f"message {receipt.message_id} is not what was sent")
            if held.entry != receipt.entry:
                raise InvalidRun(f"message {receipt.message_id} is at {held.entry}, not at {receipt.entry}")
            if place <= before:
                raise InvalidRun(f"the messages of sender {sender} were reordered")
            before = place
    if count != len(logged):
        raise InvalidRun(f"{count} messages were acknowledged, {len(logged)} are in the log")
    return f"{count:,} acknowledged messages are in the log once, whole, in each sender's order"
