"""Whether a log holds what was acknowledged: all of it, once, in each sender's order, byte for byte."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from imc_bench.rows import Faulty

_ENTRIES_A_READ = 5_000

Fields = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One message as its sender knows it. ``entry`` is where the log is said to hold it."""

    message_id: str
    entry: str
    content: str


@dataclass(frozen=True, slots=True)
class Logged:
    """One message as the log holds it."""

    message_id: str
    entry: str
    content: str


async def entries(redis: Redis, key: str) -> AsyncGenerator[tuple[str, Fields]]:
    """All entries of a stream, in order."""
    start = "-"
    while True:
        found = cast(
            "list[tuple[bytes, Fields]]",
            await redis.xrange(key, start, count=_ENTRIES_A_READ),  # pyright: ignore[reportUnknownMemberType]
        )
        for entry_id, fields in found:
            yield entry_id.decode(), fields
        if len(found) < _ENTRIES_A_READ:
            return
        start = f"({found[-1][0].decode()}"


def check(acknowledged: Iterable[Sequence[Acknowledged]], logged: Sequence[Logged]) -> str:
    """Compare what each sender was told, in its order, with the log; what was verified, in words.

    Raises `Faulty` for anything lost, repeated, swapped or altered.
    """
    places = {each.message_id: place for place, each in enumerate(logged)}
    if len(places) != len(logged):
        raise Faulty(f"{len(logged) - len(places)} messages are in the log twice")
    told = 0
    for sender, receipts in enumerate(acknowledged):
        told += len(receipts)
        before = -1
        for receipt in receipts:
            place = places.get(receipt.message_id)
            if place is None:
                raise Faulty(f"message {receipt.message_id} was acknowledged and is not in the log")
            held = logged[place]
            if held.content != receipt.content:
                raise Faulty(f"message {receipt.message_id} is not what was sent")
            if held.entry != receipt.entry:
                raise Faulty(f"message {receipt.message_id} is at {held.entry}, not at {receipt.entry}")
            if place <= before:
                raise Faulty(f"the messages of sender {sender} were swapped")
            before = place
    if told != len(logged):
        raise Faulty(f"{told} messages were acknowledged, {len(logged)} are in the log")
    return f"{told:,} acknowledged messages are in the log once, whole, in each sender's order"
