"""Reading an app's log: where it stands, and what followed a point of it.

A point can be trusted to have nothing missing behind it only if the log proves it: see `Stretch.proves`.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
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

from imc_push_node.recall_marks import RecallMarks

REDIS_FAULTS = (RedisError, OSError)
"""What a read raises when Redis is out of reach or does not answer in time."""

PAGE = 250
"""Entries a read: at the largest content some 16 MB."""

READS_AT_ONCE = 8
"""Of all apps together: a reconnect of Pub/Sub makes every app look into its log at the same time."""

_STATE_FIELDS = ["lineage", "born", "last"]


@dataclass(frozen=True, slots=True)
class LogState:
    """Where a log stood at one moment. ``born`` and ``last`` are `ORIGIN` while it is unborn."""

    lineage: str
    born: EntryId
    last: EntryId
    now_ms: int

    @property
    def point(self) -> Cursor:
        """The place after its newest entry; of an unborn log, the moment."""
        return Cursor(self.lineage, EntryId(self.now_ms, 0) if self.lineage == UNBORN else self.last)


@dataclass(frozen=True, slots=True)
class Remainder:
    """What a log still held at one moment: the entries from ``first`` on. All before are in the database."""

    state: LogState
    first: EntryId
    """Where there is no entry, the place of the next."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a log held from ``start`` up to ``end``, read in one atomic step together with its state."""

    state: LogState
    start: Cursor
    places: frozenset[EntryId]
    """The places of all that was there, ``start`` and entries that are none of ours included."""
    entries: list[Entry]
    """The entries after ``start``; no content of recalled messages in them."""
    end: Cursor
    is_last: bool
    """Whether the log held nothing beyond ``end``."""
    is_from_birth: bool
    """Whether it begins with the first entry that the log ever had."""

    def lacks(self, entry: EntryId) -> bool:
        """Whether ``entry`` is certainly not in the log: others are on both sides of where it would be.

        Trimming takes from the old end alone, so that this is not the log that the entry was told from: a
        replica that had not received it has taken over, say.
        """
        is_within = any(place < entry for place in self.places) and entry <= self.end.entry
        return is_within and entry not in self.places

    def proves(self, point: Cursor) -> bool:
        """Whether everything that followed ``point``, up to ``end``, is known to be here.

        So it is if the entry at ``point`` is still there, or the one right after it, since logs are trimmed
        from their old end, or if it is the newest one. A point of before the log's birth needs the whole log.
        Anything else (trimmed, of another lineage, of a future that a lost server took along) proves nothing.
        """
        if point.lineage == UNBORN:
            before_birth = self.is_from_birth and point.entry <= self.state.born
            return before_birth or self.state.lineage == UNBORN
        if point.lineage != self.state.lineage:
            return False
        entry = point.entry
        return entry == self.state.last or entry in self.places or entry.following in self.places


class LogReader:
    """Reads logs. Raises one of `REDIS_FAULTS` when it can't."""

    def __init__(self, redis: Redis, skipped: Counter) -> None:
        self._redis = redis
        self._skipped = skipped
        self._marks = RecallMarks(redis, skipped)
        self._places = asyncio.Semaphore(READS_AT_ONCE)

    async def state(self, app_id: str) -> LogState:
        """Where the app's log stands."""
        return (await self.states([app_id]))[0]

    async def states(self, app_ids: Sequence[str]) -> list[LogState]:
        """Where each app's log stands, in one round trip."""
        async with self._places, self._redis.pipeline(transaction=False) as pipeline:
            # The time first: if the log is born in between, it was born after the point that is told of it.
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            for app_id in app_ids:
                pipeline.hmget(names.log_state(app_id), _STATE_FIELDS)  # pyright: ignore[reportUnknownMemberType]
            now, *states = await pipeline.execute()
        return [_read_state(now, state) for state in states]

    async def remainder(self, app_id: str) -> Remainder:
        """What the app's log still holds."""
        async with self._places, self._redis.pipeline(transaction=True) as pipeline:
            pipeline.time()  # pyright: ignore[reportUnknownMemberType]
            pipeline.hmget(names.log_state(app_id), _STATE_FIELDS)  # pyright: ignore[reportUnknownMemberType]
            pipeline.xrange(names.log(app_id), count=1)
            now, fields, rows = await pipeline.execute()
        state = _read_state(now, fields)
        if state.lineage == UNBORN:
            return Remainder(state, state.point.entry)
        return Remainder(state, min([at for at, _ in _placed(rows)], default=state.last.following))

    async def after(self, app_id: str, start: Cursor, limit: int = PAGE) -> Stretch:
        """What followed ``start``, at most about ``limit`` entries of it.

        If the log does not prove ``start``, the entries are those of the log beyond its place all the same:
        other points may lie among them.
        """
        is_unborn = start.lineage == UNBORN
        lowest = "-" if is_unborn else str(start.entry)
        async with self._places:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.time()  # pyright: ignore[reportUnknownMemberType]
                pipeline.hmget(names.log_state(app_id), _STATE_FIELDS)  # pyright: ignore[reportUnknownMemberType]
                pipeline.xrange(names.log(app_id), lowest, "+", limit + 1)
                now, fields, rows = await pipeline.execute()
            state = _read_state(now, fields)
            # What lies beyond the newest entry was put there by hand: it has no part in the order of pushes.
            placed = _placed(rows)
            known = [(at, row) for at, row in placed if at <= state.last]
            first = ORIGIN if is_unborn else start.entry
            entries = await self._shown(app_id, [row for row in known if row[0] > first])
        is_last = len(rows) <= limit or len(known) < len(placed) or not known or known[-1][0] == state.last
        return Stretch(
            state=state,
            start=start,
            places=frozenset(at for at, _ in known),
            entries=entries,
            end=state.point if is_last else Cursor(state.lineage, known[-1][0]),
            is_last=is_last,
            is_from_birth=is_unborn and bool(known) and known[0][0] == state.born,
        )

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


def _read_state(now: tuple[int, int], fields: list[bytes | None]) -> LogState:
    lineage, born, last = fields
    now_ms = now[0] * 1000 + now[1] // 1000
    if lineage is None or born is None or last is None:
        return LogState(UNBORN, ORIGIN, ORIGIN, now_ms)
    return LogState(lineage.decode(), EntryId.parse(born), EntryId.parse(last), now_ms)


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
