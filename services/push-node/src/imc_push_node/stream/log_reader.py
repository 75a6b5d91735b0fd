"""Reads the log of an app: its state, and what followed a position."""

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
"""Entries of one read: some 16 MB at the largest content."""

READS_AT_ONCE = 8
"""For all apps together: when Pub/Sub reconnects, every app reads its log at the same time."""


class LogReader:
    """Reads logs. Its methods raise one of `REDIS_FAULTS` if they can't."""

    def __init__(self, redis: Redis, skipped: Counter) -> None:
        self._redis = redis
        self._skipped = skipped
        self._marks = RecallMarks(redis, skipped)
        self._turns = asyncio.Semaphore(READS_AT_ONCE)

    async def state(self, app_id: str) -> LogState:
        """Read the state of the app's log."""
        async with self._turns, self._redis.pipeline(transaction=False) as pipeline:
            # The time comes first: if the log is born in between, that is after the position returned here.
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
            now, fields = await pipeline.execute()
        return await self._named(app_id, log_state.read(now, fields))

    async def remainder(self, app_id: str) -> Remainder:
        """Read from where on the app's log still holds everything."""
        async with self._turns, self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
            pipeline.xrange(names.log(app_id), count=1)
            now, fields, rows = await pipeline.execute()
        state = await self._named(app_id, log_state.read(now, fields))
        if state.last == ORIGIN:
            return Remainder(state, state.point.entry)
        return Remainder(state, min([at for at, _ in _placed(rows)], default=state.last.following))

    async def after(self, app_id: str, start: Cursor, limit: int = PAGE) -> Stretch:
        """Read what followed ``start``, at most about ``limit`` entries.

        If the log does not prove ``start``, the entries are those with greater ids all the same: they may
        serve other positions.
        """
        lowest = "-" if start.is_unborn else str(start.entry)
        async with self._turns:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.time()  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
                pipeline.xrange(names.log(app_id), lowest, "+", limit + 1)
                now, fields, rows = await pipeline.execute()
            state = await self._named(app_id, log_state.read(now, fields))
            # Entries beyond the newest one were put there by hand. They are not part of the order of pushes.
            placed = _placed(rows)
            known = [(at, row) for at, row in placed if at <= state.last]
            first = ORIGIN if start.is_unborn else start.entry
            entries = await self._shown(app_id, [row for row in known if row[0] > first])
        is_last = len(rows) <= limit or len(known) < len(placed) or not known or known[-1][0] == state.last
        return Stretch(
            state=state,
            start=start,
            entry_ids=frozenset(at for at, _ in known),
            entries=entries,
            end=state.point if is_last else Cursor(state.epoch, known[-1][0]),
            is_last=is_last,
            is_from_birth=start.is_unborn and bool(known) and known[0][0] == state.born,
        )

    async def _named(self, app_id: str, state: LogState) -> LogState:
        """Give an unborn log an epoch, if it has none.

        The epoch is lost together with the log. Without it a position of the time before the log's birth
        would fit any later log as well, and the loss of the first log would not be announced.
        """
        if state.epoch:
            return state
        key, word = names.log_state(app_id), UNBORN + secrets.token_hex(6)
        async with self._redis.pipeline(transaction=True) as pipeline:
            # Another node may do so at the same moment: the first one decides.
            pipeline.hsetnx(key, log_state.UNBORN_FIELD, word)  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(key, [log_state.UNBORN_FIELD])  # pyright: ignore[reportUnknownMemberType]
            _, (unborn,) = await pipeline.execute()
        # What was appended since then came after ``state``.
        return replace(state, epoch=unborn.decode(), unborn=unborn.decode())

    async def _shown(self, app_id: str, rows: list[tuple[EntryId, dict[bytes, bytes]]]) -> list[Entry]:
        """The entries as they may be shown now: without the content of messages recalled since then."""
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
    """The rows with their ids, without those whose id was made by hand and breaks all bounds."""
    placed: list[tuple[EntryId, dict[bytes, bytes]]] = []
    for at, fields in rows:
        with contextlib.suppress(ValueError):
            placed.append((EntryId.parse(at), fields))
    return placed


def _view(entry: Entry) -> Message | Notice:
    # An entry made by hand was never checked: a body that is no JSON would break the frames of gateways.
    return read_notice(entry.body) if entry.kind.is_notice else read_message(entry.body)
