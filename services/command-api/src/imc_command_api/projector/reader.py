"""Reads entries from the logs: new ones, and those that another projector left unfinished."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from typing import Any, cast

from imc_contracts import names
from imc_service.logs import get_logger
from redis.asyncio import Redis
from redis.exceptions import ResponseError

logger = get_logger("projector.reader")

BATCH_ENTRIES = 1000
READ_BYTES = 32 * 1024 * 1024
"""The most that one read should return, estimated from the average size of entries."""

BLOCK_SECONDS = 0.2
"""How long a read waits for new entries. It does not notice new apps meanwhile."""

REPLY_SECONDS = 5.0
LEARN_SECONDS = 0.2
"""How often new apps are looked for. With the wait above it bounds the delay of their first message."""

CLAIM_ENTRIES = 200
_GROUP = names.PROJECTOR_GROUP
_LOG_GONE = ("NOGROUP", "UNBLOCKED", "WRONGTYPE")
"""The errors by which Redis tells that a log or its group is gone, for example because it was emptied."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry of an app's log as Redis returned it, unchecked."""

    app_id: str
    entry_id: bytes
    fields: dict[bytes, bytes]

    @property
    def key(self) -> tuple[str, bytes]:
        """Identifies it among the entries of all logs."""
        return self.app_id, self.entry_id

    @property
    def size(self) -> int:
        """Bytes of its fields' values."""
        return sum(map(len, self.fields.values()))


class LogReader:
    """One consumer of the group, for the logs of all apps.

    ``blocking`` is a client without a deadline of its own (`imc_service.redis.client.connect_blocking`).
    Methods raise what redis-py raises, and `TimeoutError` when Redis hangs.
    """

    def __init__(self, redis: Redis, blocking: Redis, consumer: str, claim_idle_ms: int) -> None:
        self._redis = redis
        self._blocking = blocking
        self._consumer = consumer
        self._claim_idle_ms = claim_idle_ms
        self._streams: dict[bytes, str] = {}
        self._apps: dict[str, float] = {}
        """When each app was found, in seconds of the monotonic clock."""
        self._learn_at = 0.0
        self._average_bytes = 1024.0

    @property
    def app_ids(self) -> list[str]:
        """The apps whose logs are read."""
        return list(self._streams.values())

    def knows_for(self, app_id: str) -> float:
        """How long ago the app was found, in seconds."""
        return time.monotonic() - self._apps.get(app_id, math.inf)

    def forget(self, app_id: str) -> None:
        """Stop reading the app's log. It is gone, and the list lacks the app."""
        self._apps.pop(app_id, None)
        self._streams.pop(names.log(app_id).encode(), None)

    async def read(self) -> list[Delivery]:
        """New entries, in the order of each log. Waits a moment for them."""
        await self._learn_apps()
        if not self._streams:
            await asyncio.sleep(LEARN_SECONDS)
            return []
        streams = self._streams.copy()
        try:
            reply = await self._read_new()
        except ResponseError as error:
            if not str(error).startswith(_LOG_GONE):
                raise
            logger.info(
                "logs or groups are gone, the list of apps is read again", error=str(error).partition(" ")[0]
            )
            self._streams = {}
            self._learn_at = 0.0
            return []
        deliveries = [
            Delivery(streams[stream], entry_id, fields)
            for stream, entries in reply
            for entry_id, fields in entries
        ]
        self._note_sizes(deliveries)
        return deliveries

    async def _read_new(self) -> list[Any]:
        async with asyncio.timeout(BLOCK_SECONDS + REPLY_SECONDS):
            reply = await self._blocking.xreadgroup(  # pyright: ignore[reportUnknownMemberType]
                _GROUP,
                self._consumer,
                dict.fromkeys(self._streams, ">"),
                count=self._count(),
                block=int(BLOCK_SECONDS * 1000),
            )
        return cast("list[Any]", reply)

    async def claim(self) -> AsyncGenerator[list[Delivery]]:
        """Entries that a projector was given and did not finish in time: another, or this one."""
        await self._learn_apps()
        for stream, app_id in list(self._streams.items()):
            start = b"0-0"
            while True:
                start, claimed = await self._claim_some(stream, app_id, start)
                if claimed:
                    yield claimed
                if start == b"0-0":
                    break

    async def _claim_some(self, stream: bytes, app_id: str, start: bytes) -> tuple[bytes, list[Delivery]]:
        try:
            reply: list[Any] = await self._redis.xautoclaim(  # pyright: ignore[reportUnknownMemberType]
                stream, _GROUP, self._consumer, self._claim_idle_ms, start, count=CLAIM_ENTRIES
            )
        except ResponseError as error:
            if str(error).startswith(_LOG_GONE):
                return b"0-0", []  # the next read gets the same error, and handles it
            raise
        # Before Redis 7, entries that are gone from the log come without an id.
        return reply[0], [Delivery(app_id, entry_id, fields) for entry_id, fields in reply[1] if entry_id]

    async def _learn_apps(self) -> None:
        """Read the list of apps from time to time, and create the group of each new app's log.

        An app that the list no longer has is kept while its log exists: the list alone may be lost.
        """
        if time.monotonic() < self._learn_at:
            return
        members = cast("set[bytes]", await self._redis.smembers(names.APPS))  # pyright: ignore
        listed = {member.decode("utf-8", "replace") for member in members}
        for app_id in await self._without_log(self._apps.keys() - listed):
            self.forget(app_id)
        for app_id in listed - self._apps.keys():
            self._apps[app_id] = time.monotonic()
        fresh = sorted(self._apps.keys() - set(self._streams.values()))
        for app_id, fault in zip(fresh, await self._make_groups(fresh), strict=True):
            if fault is None:
                self._streams[names.log(app_id).encode()] = app_id
            else:
                # Left out, and tried again: one app must not stop the others.
                logger.error("the log of an app can't be read", error=str(fault).partition(" ")[0])
        self._learn_at = time.monotonic() + LEARN_SECONDS

    async def _without_log(self, app_ids: Collection[str]) -> list[str]:
        """Those of the apps that have no log."""
        if not app_ids:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id in app_ids:
                pipe.xlen(names.log(app_id))
            lengths = await pipe.execute(raise_on_error=False)
        return [app_id for app_id, length in zip(app_ids, lengths, strict=True) if length == 0]

    async def _make_groups(self, app_ids: list[str]) -> list[Exception | None]:
        """Make the group of each log that has none, if need be the log; what went wrong, for each."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for app_id in app_ids:
                pipe.xinfo_groups(names.log(app_id))  # pyright: ignore[reportUnknownMemberType]
                # Refused where there is one. Out of memory, Redis refuses it before it looks.
                pipe.xgroup_create(names.log(app_id), _GROUP, "0", mkstream=True)
            answers = await pipe.execute(raise_on_error=False)
        return list(map(_fault, answers[::2], answers[1::2]))

    def _count(self) -> int:
        """How many entries to ask of each log: Redis has no bound for all of them together."""
        fitting = int(READ_BYTES / (self._average_bytes * len(self._streams)))
        return max(1, min(BATCH_ENTRIES, fitting))

    def _note_sizes(self, deliveries: list[Delivery]) -> None:
        if deliveries:
            average = sum(delivery.size for delivery in deliveries) / len(deliveries)
            # Rises at once and sinks slowly: memory is at stake on one side only.
            self._average_bytes = max(average, 0.9 * self._average_bytes + 0.1 * average)


def _fault(groups: Any, made: Any) -> Exception | None:
    """Why there is no group, by the answers to a look for it and to its making; None if there is one."""
    if not isinstance(made, Exception) or str(made).startswith("BUSYGROUP"):
        return None
    is_there = isinstance(groups, list) and any(
        group["name"] == _GROUP.encode() for group in cast("list[dict[str, Any]]", groups)
    )
    return None if is_there else made
