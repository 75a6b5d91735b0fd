"""Reading an app's log: where it stands, and what followed a point of it."""

import asyncio
import contextlib
import secrets
from dataclasses import replace
from typing import Any, cast

from imc_contracts import names
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor, EntryId
from imc_contracts.events import (
    Entry,
    EventKind,
    MalformedEvent,
    read_entry,
    read_message,
    read_notice,
)
from imc_contracts.views import Message, Notice
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.stream import log_state
from imc_push_node.stream.log_state import LogState, Remainder, Stretch
from imc_push_node.stream.recall_marks import RecallMarks

REDIS_FAULTS = (RedisError, OSError)
"""What a read raises when Redis is out of reach or does not answer in time."""

PAGE = 250
"""Entries a read: at the largest content some 16 MB."""

READS_AT_ONCE = 8
"""Of all apps together: a reconnect of Pub/Sub makes every app look into its log at the same time."""


class LogReader:
    """Reads logs. Raises one of `REDIS_FAULTS` when it can't."""

    def __init__(self, redis: Redis, skipped: Counter) -> None:
        self._redis = redis
        self._skipped = skipped
        self._marks = RecallMarks(redis, skipped)
        self._places = asyncio.Semaphore(READS_AT_ONCE)

    async def state(self, app_id: str) -> LogState:
        """Where the app's log stands."""
        async with self._places, self._redis.pipeline(transaction=False) as pipeline:
            # The time first: if the log is born in between, it was born after the point that is told of it.
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
            now, fields = await pipeline.execute()
        return await self._named(app_id, log_state.read(now, fields))

    async def remainder(self, app_id: str) -> Remainder:
        """What the app's log still holds."""
        async with self._places, self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
            pipeline.xrange(names.log(app_id), count=1)
            now, fields, rows = await pipeline.execute()
        state = await self._named(app_id, log_state.read(now, fields))
        if state.last == ORIGIN:
            return Remainder(state, state.point.entry)
        return Remainder(state, min([at for at, _ in _placed(rows)], default=state.last.following))

    async def after(self, app_id: str, start: Cursor, limit: int = PAGE) -> Stretch:
        """What followed ``start``, at most about ``limit`` entries of it.

        If the log does not prove ``start``, the entries are those of the log beyond its place all the same:
        other points may lie among them.
        """
        lowest = "-" if start.is_unborn else str(start.entry)
        async with self._places:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.time()  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
                pipeline.xrange(names.log(app_id), lowest, "+", limit + 1)
                now, fields, rows = await pipeline.execute()
            state = await self._named(app_id, log_state.read(now, fields))
            # What lies beyond the newest entry was put there by hand: it has no part in the order of pushes.
            placed = _placed(rows)
            known = [(at, row) for at, row in placed if at <= state.last]
            first = ORIGIN if start.is_unborn else start.entry
            entries = await self._shown(app_id, [row for row in known if row[0] > first])
        is_last = len(rows) <= limit or len(known) < len(placed) or not known or known[-1][0] == state.last
        return Stretch(
            state=state,
            start=start,
            places=frozenset(at for at, _ in known),
            entries=entries,
            end=state.point if is_last else Cursor(state.epoch, known[-1][0]),
            is_last=is_last,
            is_from_birth=start.is_unborn and bool(known) and known[0][0] == state.born,
        )

    async def _named(self, app_id: str, state: LogState) -> LogState:
        """Give the time before a log's birth a name, if it has none.

        It is lost together with the log. Without it a point of that time would not tell the log that was
        born after it from a later one: what was in the first and is lost would go unannounced.
        """
        if state.epoch:
            return state
        key, word = names.log_state(app_id), UNBORN + secrets.token_hex(6)
        async with self._redis.pipeline(transaction=True) as pipeline:
            # Another node may name it in the same moment: the first has it.
            pipeline.hsetnx(key, log_state.UNBORN_FIELD, word)  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(key, [log_state.UNBORN_FIELD])  # pyright: ignore[reportUnknownMemberType]
            _, (unborn,) = await pipeline.execute()
        # Whatever was appended since then came after the moment of ``state``.
        return replace(state, epoch=unborn.decode(), unborn=unborn.decode())

    async def _shown(self, app_id: str, rows: list[tuple[EntryId, dict[bytes, bytes]]]) -> list[Entry]:
        """The entries as they may be shown now: messages recalled since then without their content."""
        entries: list[Entry] = []
        messages: dict[int, Message] = {}
        for at, fields in rows:
            try:
                entry = read_entry(str(at), fields)
                view = _view(entry)
            except MalformedEvent:
                self._skipped.inc()
                continue
            if entry.kind is EventKind.MESSAGE_SENT:
                messages[len(entries)] = cast(Message, view)
            entries.append(entry)
        await self._marks.mask(app_id, entries, messages)
        return entries


def _placed(rows: list[Any]) -> list[tuple[EntryId, dict[bytes, bytes]]]:
    """The rows by place, without those whose id was made by hand and is out of all bounds."""
    placed: list[tuple[EntryId, dict[bytes, bytes]]] = []
    for at, fields in rows:
        with contextlib.suppress(ValueError):
            placed.append((EntryId.parse(at), fields))
    return placed


def _view(entry: Entry) -> Message | Notice:
    # Only what the script wrote was checked before: a body that is no JSON would break the gateways' frames.
    return read_notice(entry.body) if entry.kind.is_notice else read_message(entry.body)
