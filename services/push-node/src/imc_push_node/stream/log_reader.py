"""Reads the log of an app: its state, and what followed a position."""

import contextlib
import secrets
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from imc_contracts import names
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor, EntryId
from imc_contracts.events import (
    Entry,
    EventKind,
    MalformedEvent,
    is_erased,
    read_entry,
    read_erasure,
    read_message,
    read_notice,
    trace_of,
)
from imc_contracts.views import Erasure, Message, Notice
from imc_service.redis.masters import Masters
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from imc_push_node.stream import log_state
from imc_push_node.stream.changes import LOG
from imc_push_node.stream.log_state import LogState, Remainder, Stretch
from imc_push_node.stream.recall_marks import RecallMarks
from imc_push_node.stream.turns import Turns

REDIS_FAULTS = (RedisError, OSError)
"""What a read raises when Redis is out of reach or does not answer in time."""

PAGE = 250
"""Entries of one read: some 16 MB at the largest content."""

READS_AT_ONCE = 8
"""Of one master, for all apps together: when Pub/Sub reconnects, every app reads its log at the same time."""


class LogReader:
    """Reads logs. Its methods raise one of `REDIS_FAULTS` if they can't."""

    def __init__(self, masters: Masters, skipped: Counter) -> None:
        self._masters = masters
        self._skipped = skipped
        self._marks = RecallMarks(masters, skipped)
        self._turns = Turns(READS_AT_ONCE)

    async def state(self, app_id: str) -> LogState:
        """Read the state of the app's log."""
        key = names.log_state(app_id)

        async def read(redis: Redis) -> LogState:
            async with self._turns.at(redis), redis.pipeline(transaction=False) as pipeline:
                # The time comes first: if the log is born in between, that is after the position returned.
                pipeline.time()  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(key, log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
                now, fields = await pipeline.execute()
            return log_state.read(now, fields)

        return await self._named(app_id, await self._masters.run(key, read))

    async def remainder(self, app_id: str) -> Remainder:
        """Read from where on the app's log still holds everything."""

        async def read(redis: Redis) -> list[Any]:
            async with self._turns.at(redis), redis.pipeline(transaction=True) as pipeline:
                pipeline.time()  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
                pipeline.xrange(names.log(app_id), count=1)
                return await pipeline.execute()

        now, fields, rows = await self._masters.run(names.log(app_id), read)
        state = await self._named(app_id, log_state.read(now, fields))
        if state.last == ORIGIN:
            return Remainder(state, state.point.entry)
        return Remainder(state, min([at for at, _ in _placed(rows)], default=state.last.following))

    async def after(self, app_id: str, start: Cursor, limit: int = PAGE) -> Stretch:
        """Read what followed ``start``, at most about ``limit`` entries.

        If the log does not prove ``start``, the entries are those with greater ids all the same: they may
        serve other positions.
        """

        async def read(redis: Redis) -> Stretch:
            # The turn lasts until the page is ready: so many pages are in memory at most.
            async with self._turns.at(redis):
                return await self._read_after(redis, app_id, start, limit)

        return await self._masters.run(names.log(app_id), read)

    async def newest_of(self, app_id: str, ids: Sequence[bytes]) -> bytes | None:
        """The newest of some entries, which are in their order, that the log has; None if it has none.

        Of a log that has forked these are all before the fork, but for old ones that were trimmed.
        """
        remainder = await self.remainder(app_id)
        low, high = bisect_left(ids, remainder.first, key=EntryId.parse), len(ids)
        newest: bytes | None = None
        while low < high:
            middle = (low + high) // 2
            if await self._has(app_id, ids[middle]):
                newest, low = ids[middle], middle + 1
            else:
                high = middle
        return newest

    async def _has(self, app_id: str, id_text: bytes) -> bool:
        log = names.log(app_id)

        async def read(redis: Redis) -> list[Any]:
            async with self._turns.at(redis):
                return await redis.xrange(log, id_text, id_text)  # pyright: ignore

        return bool(await self._masters.run(log, read))

    async def _read_after(self, redis: Redis, app_id: str, start: Cursor, limit: int) -> Stretch:
        lowest = "-" if start.is_unborn else str(start.entry)
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), log_state.FIELDS)  # pyright: ignore[reportUnknownMemberType]
            pipeline.xrange(names.log(app_id), lowest, "+", limit + 1)
            now, fields, rows = await pipeline.execute()
        state = await self._named(app_id, log_state.read(now, fields))
        # Entries beyond the newest one were put there by hand. They are not part of the order of pushes.
        placed = _placed(rows)
        known = [(at, row) for at, row in placed if at <= state.last]
        first = ORIGIN if start.is_unborn else start.entry
        shown = [row for row in known if row[0] > first]
        entries = await self._shown(app_id, shown)
        is_last = len(rows) <= limit or len(known) < len(placed) or not known or known[-1][0] == state.last
        return Stretch(
            state=state,
            start=start,
            entry_ids=frozenset(at for at, _ in known),
            entries=entries,
            end=state.point if is_last else Cursor(state.epoch, known[-1][0]),
            is_last=is_last,
            is_from_birth=start.is_unborn and bool(known) and known[0][0] == state.born,
            traces=[trace for _, fields in shown if (trace := trace_of(fields)) is not None],
        )

    async def _named(self, app_id: str, state: LogState) -> LogState:
        """Give an unborn log an epoch, if it has none.

        The epoch is lost together with the log. Without it a position of the time before the log's birth
        would fit any later log as well, and the loss of the first log would not be announced.
        """
        if state.epoch:
            return state
        key, changes = names.log_state(app_id), names.changes(names.shard_of(app_id))
        word = UNBORN + secrets.token_hex(6)

        async def name(redis: Redis) -> bytes:
            async with redis.pipeline(transaction=True) as pipeline:
                # Another node may do so at the same moment: the first one decides.
                pipeline.hsetnx(key, log_state.UNBORN_FIELD, word)  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(key, [log_state.UNBORN_FIELD])  # pyright: ignore[reportUnknownMemberType]
                # If this is lost, so is the change, which every node notices.
                pipeline.xadd(changes, {LOG: app_id}, maxlen=names.CHANGES_KEPT)  # pyright: ignore[reportUnknownMemberType]
                _, (unborn,), _ = await pipeline.execute()
            return unborn

        unborn = await self._masters.run(key, name)
        # What was appended since then came after ``state``.
        return replace(state, epoch=unborn.decode(), unborn=unborn.decode())

    async def _shown(self, app_id: str, rows: list[tuple[EntryId, dict[bytes, bytes]]]) -> list[Entry]:
        """The entries as they may be shown now: without the content of messages recalled since then."""
        entries: list[Entry] = []
        messages: dict[int, Message] = {}
        for at, fields in rows:
            if is_erased(fields):
                continue
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


def _view(entry: Entry) -> Message | Notice | Erasure:
    # An entry made by hand was never checked: a body that is no JSON would break the frames of gateways.
    if entry.kind is EventKind.ERASURE:
        return read_erasure(entry.body)
    return read_notice(entry.body) if entry.kind.is_notice else read_message(entry.body)
