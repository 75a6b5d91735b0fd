"""Writes stretches of logs to the database. Finds the entries that the database refuses."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from imc_service.database.database import Refusal, StatementRefused, StoreUnavailable
from imc_service.retry import Backoff
from imc_service.tracing.tracing import Tracing

from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.stretch import LogEntry, Stretch
from imc_command_api.store.changes import Row
from imc_command_api.store.projection import Position, Projection


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry whose row the database refuses, and its reason."""

    entry: LogEntry
    row: Row
    refusal: StatementRefused


LATE_SECONDS = 1.0
"""What was read longer ago may have been projected by another, and erased since.

Less than `imc_command_api.projector.ownership.LEASE_MS`: nobody else is the owner before that is over.
"""

_Placed = tuple[str, LogEntry, Row]
"""An entry that has a row, and its app."""


class StretchWriter:
    """Writes to the database, and retries while that is out of reach."""

    def __init__(
        self, projection: Projection, metrics: ProjectorMetrics, tracing: Tracing | None = None
    ) -> None:
        self._tracing = tracing
        self._projection = projection
        self._metrics = metrics

    async def write(self, stretches: Sequence[Stretch]) -> dict[str, list[RefusedEntry]]:
        """Write what can be written; returns by app the entries that are refused alone.

        All others are written, in one transaction if none is refused. The positions of apps without a refused
        entry are written too, never before their rows.
        """
        placed = [
            (stretch.app_id, entry, entry.row)
            for stretch in stretches
            for entry in stretch.entries
            if entry.row is not None
        ]
        positions = _positions_of(stretches)
        begun_ns, refused = time.time_ns(), dict[str, list[RefusedEntry]]()
        asked_at = min((stretch.asked_at for stretch in stretches), default=0.0)
        try:
            await self._store([row for _, _, row in placed], positions, asked_at)
        except StatementRefused as refusal:
            refused = await self._apart(placed, refusal)
            await self.note_positions([each for each in stretches if each.app_id not in refused])
        if self._tracing is not None:
            _record(self._tracing, placed, refused, begun_ns)
        return refused

    async def write_alone(self, refused: RefusedEntry) -> RefusedEntry | None:
        """Try a refused entry again; None once it is written."""
        try:
            await self._store([refused.row], {})
        except StatementRefused as refusal:
            self._metrics.refusals.inc()
            return RefusedEntry(refused.entry, refused.row, refusal)
        return None

    async def note_positions(self, stretches: Sequence[Stretch]) -> None:
        """Note that the database has these stretches."""
        if stretches:
            positions = _positions_of(stretches)
            await self._retried(lambda: self._projection.apply_rows([], positions))

    async def _apart(
        self, placed: Sequence[_Placed], refusal: StatementRefused
    ) -> dict[str, list[RefusedEntry]]:
        """Write what was refused together by halves; returns by app the entries that are refused alone."""
        refused: defaultdict[str, list[RefusedEntry]] = defaultdict(list)
        # (part, why it was refused), None for a part that was not tried yet
        parts: list[tuple[Sequence[_Placed], StatementRefused | None]] = [(placed, refusal)]
        while parts:
            part, why = parts.pop()
            if why is None:
                try:
                    await self._store([row for _, _, row in part], {})
                    continue
                except StatementRefused as error:
                    why = error
            if len(part) == 1:
                app_id, entry, row = part[0]
                self._metrics.refusals.inc()
                refused[app_id].append(RefusedEntry(entry, row, why))
            elif part:
                middle = len(part) // 2
                parts += [(part[middle:], None), (part[:middle], None)]
        return dict(refused)

    async def _store(
        self, rows: Sequence[Row], positions: Mapping[str, Position], asked_at: float | None = None
    ) -> None:
        with self._metrics.batch_seconds.time():
            await self._retried(lambda: self._apply(rows, positions, asked_at))
        self._metrics.batches.inc()
        self._metrics.entries.inc(len(rows))
        self._metrics.last_commit.set_to_current_time()

    async def _apply(
        self, rows: Sequence[Row], positions: Mapping[str, Position], asked_at: float | None
    ) -> None:
        is_late = asked_at is not None and time.monotonic() - asked_at > LATE_SECONDS
        late = {row.app_id for row in rows} if is_late else ()
        try:
            await self._projection.apply_rows(rows, positions, late)
        except StatementRefused as refusal:
            # An unclassified error of a single entry. If the database takes no row at all, the entry is not
            # at fault, and is retried like all others.
            if (
                len(rows) <= 1
                and refusal.kind is Refusal.UNKNOWN
                and (trouble := await self._projection.trouble()) is not None
            ):
                raise StoreUnavailable(trouble) from refusal
            raise

    async def _retried(self, write: Callable[[], Awaitable[None]]) -> None:
        await Backoff().retry(write, StoreUnavailable, on_retry=self._metrics.retries.inc)


def _positions_of(stretches: Sequence[Stretch]) -> dict[str, Position]:
    positions = {stretch.app_id: stretch.position for stretch in stretches}
    return {app_id: position for app_id, position in positions.items() if position is not None}


def _record(
    tracing: Tracing, placed: Sequence[_Placed], refused: Mapping[str, list[RefusedEntry]], begun_ns: int
) -> None:
    """Record that entries have rows, in the traces of those that are traced."""
    without_row = {(app_id, each.entry.id) for app_id, entries in refused.items() for each in entries}
    traces = [
        entry.trace
        for app_id, entry, _ in placed
        if entry.trace is not None and (app_id, entry.id) not in without_row
    ]
    tracing.record("store", traces, begun_ns, {"messaging.batch.message_count": len(placed)})
