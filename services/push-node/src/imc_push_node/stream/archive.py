"""What an app's log has forgotten: read from the database, through query-api."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from imc_contracts.cursor import Cursor, EntryId

from imc_push_node.stream.framed_entries import FramedEntries
from imc_push_node.stream.log_state import Remainder
from imc_push_node.stream.query_api import Changes, NotAnswered, QueryApiClient
from imc_push_node.stream.recall_marks import RecallMarks

PAGE = 250
"""Entries a read: as many as of the log."""

PAGES_AT_ONCE = 8
"""In the memory of a node, and asked for at the same time, for all apps together."""

PATIENCE_SECONDS = 5.0
"""How long query-api may be away before it is waited for no more."""

PROBE_SECONDS = 1.0
"""When it is away for longer it is asked no more often than this."""


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """What followed a point, up to ``end``."""

    framed: FramedEntries
    end: EntryId
    is_last: bool
    """Whether nothing more is known to lie before what the log still holds."""


class Archive:
    """The database as the log's longer memory, for all apps of the node."""

    def __init__(self, query_api: QueryApiClient, marks: RecallMarks) -> None:
        self._query_api = query_api
        self._marks = marks
        self._places = asyncio.Semaphore(PAGES_AT_ONCE)
        self._failing_since: float | None = None
        self._failed_at = 0.0

    @property
    def is_away(self) -> bool:
        """Whether nothing has been answered for longer than one should wait."""
        return self._failing_since is not None and _now() - self._failing_since >= PATIENCE_SECONDS

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """Wait for one's turn; hold it for as long as a page is held."""
        async with self._places:
            yield

    async def after(
        self, app_id: str, point: Cursor, remainder: Remainder, *, with_notices: bool
    ) -> ArchivePage:
        """What followed ``point`` before the ``remainder``, which was looked at before this call.

        A log forgets only what the database has: whatever lay before the remainder then is found now.
        Raises `NotAnswered`, or one of `REDIS_FAULTS`.
        """
        changes = await self._changes(app_id, point.entry, remainder.first, with_notices)
        # The database may be late with a recall that the log still holds.
        await self._marks.mask(app_id, changes.entries, changes.messages)
        end = remainder.first.preceding if changes.is_last else changes.entries[-1].id
        framed = FramedEntries(point.epoch, changes.entries, has_notices=with_notices)
        return ArchivePage(framed, end, changes.is_last)

    async def _changes(self, app_id: str, after: EntryId, before: EntryId, with_notices: bool) -> Changes:
        begun = _now()
        if self.is_away and begun - self._failed_at < PROBE_SECONDS:
            # Or each app that waits for its turn would wait for its own failure too.
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
