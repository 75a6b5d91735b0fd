"""Reads what the log of an app has forgotten from the database, through query-api."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from imc_contracts.cursor import Cursor, EntryId

from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.log_state import Remainder
from imc_push_node.stream.query_api import ArchivedEntries, NotAnswered, QueryApiClient
from imc_push_node.stream.recall_marks import RecallMarks

PAGE = 250
"""Entries of one read: as many as of the log."""

PAGES_AT_ONCE = 8
"""How many pages a node asks for, and holds, at the same time, for all apps together."""

PATIENCE_SECONDS = 5.0
"""How long gateways wait for query-api while it is away."""

PROBE_SECONDS = 1.0
"""How often query-api is asked once it has been away for longer."""


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """What followed a position, up to ``end``."""

    framed: FramedEntries
    end: EntryId
    is_last: bool
    """Whether nothing more lies between ``end`` and what the log still holds."""
    removed_to: EntryId
    """Entries up to this one may be missing, since rows were removed. It lies before those of the log."""


class Archive:
    """The database as the log's longer memory, for all apps of the node."""

    def __init__(self, query_api: QueryApiClient, marks: RecallMarks) -> None:
        self._query_api = query_api
        self._marks = marks
        self._turns = asyncio.Semaphore(PAGES_AT_ONCE)
        self._failing_since: float | None = None
        self._failed_at = 0.0

    @property
    def is_away(self) -> bool:
        """Whether query-api has not answered for longer than gateways wait."""
        return self._failing_since is not None and _now() - self._failing_since >= PATIENCE_SECONDS

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a turn. Hold it for as long as the page is in memory."""
        async with self._turns:
            yield

    async def after(
        self, app_id: str, position: Cursor, remainder: Remainder, *, with_notices: bool
    ) -> ArchivePage:
        """Read what followed ``position`` before the ``remainder``, which was read before this call.

        A log forgets only what the database has. So all that lay before the remainder is found, except what
        was removed from the database: see `ArchivePage.removed_to`.
        Raises `NotAnswered`, or one of `REDIS_FAULTS`.
        """
        changes = await self._changes(app_id, position.entry, remainder.first, with_notices)
        # The database may be late with a recall that the log still holds.
        await self._marks.mask(app_id, changes.entries, changes.messages)
        end = remainder.first.preceding if changes.is_last else changes.entries[-1].id
        framed = FramedEntries(position.epoch, changes.entries, has_notices=with_notices)
        # Of what the log still holds nothing is missing, whatever became of its rows.
        removed_to = min(changes.removed_to, remainder.first.preceding)
        return ArchivePage(framed, end, changes.is_last, removed_to)

    async def _changes(
        self, app_id: str, after: EntryId, before: EntryId, with_notices: bool
    ) -> ArchivedEntries:
        begun = _now()
        if self.is_away and begun - self._failed_at < PROBE_SECONDS:
            # Without this each app that waits for its turn would wait for a failure of its own.
            raise NotAnswered("it is away")
        try:
            changes = await self._query_api.changes(app_id, after, before, PAGE, with_notices=with_notices)
        except NotAnswered:
            self._failing_since = self._failing_since or begun
            self._failed_at = _now()
            raise
        self._failing_since = None
        return changes


def _now() -> float:
    return asyncio.get_running_loop().time()
