"""The passes of an adoption: copying what is new, and finding what was recalled after it was copied.

A run copies up to the greatest ``id`` that it finds at its start: those who write meanwhile can't keep it
from ending.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from imc_service.database.database import Database, StoreUnavailable

from imc_command_api.migrations.adopt.display import Display
from imc_command_api.migrations.adopt.failures import AdoptionError, Patience
from imc_command_api.migrations.adopt.gaps import Gap, gaps_after, holds, without
from imc_command_api.migrations.adopt.progress import Journal, TableProgress
from imc_command_api.migrations.adopt.reading import Source
from imc_command_api.migrations.adopt.rejects import Reject, RejectsFile
from imc_command_api.migrations.adopt.rows import AdoptedRow, Key, Unfit
from imc_command_api.migrations.adopt.source import BEFORE_ALL, JavaRow
from imc_command_api.migrations.adopt.tables import JavaTable
from imc_command_api.migrations.adopt.writer import Overtaken, Sorted, Writer, sort_rows

ID_IS_TAKEN = "another row has this id"
"""The reason of a row that is fit, but whose id is that of a row that differs."""

_ATTEMPTS = 10


@dataclass(frozen=True)
class Target:
    """Our database, and how long it may be away."""

    database: Database
    patience: Patience


@dataclass(frozen=True)
class Chunk:
    """Rows of the Java version that are taken in one transaction, and what is known once they are."""

    rows: Sequence[JavaRow]
    last_id: int
    gaps: list[Gap]


def converted(table: JavaTable, rows: Sequence[JavaRow]) -> tuple[list[tuple[int, AdoptedRow]], list[Reject]]:
    """The rows that can be ours, each with its index, and the others."""
    fit: list[tuple[int, AdoptedRow]] = []
    unfit: list[Reject] = []
    for index, row in enumerate(rows):
        try:
            fit.append((index, table.convert(row.values)))
        except Unfit as reason:
            unfit.append(reject(table, row, str(reason)))
    return fit, unfit


def reject(table: JavaTable, row: JavaRow, reason: str) -> Reject:
    """A row that is not copied."""
    return Reject(table.name, row.id, reason, table.columns, row.values)


class Passes:
    """Copies from one database of the Java version. Methods raise `AdoptionError` and `Interrupted`."""

    def __init__(
        self, source: Source, target: Target, journal: Journal, rejects: RejectsFile, display: Display
    ) -> None:
        self._source = source
        self._target = target
        self._journal = journal
        self._rejects = rejects
        self._display = display
        self._writer = Writer(is_sqlite=target.database.is_sqlite)
        self._looks_first = False

    async def copy(self, table: JavaTable) -> None:
        """Copy what is new."""
        bounds = await self._source.bounds(table)
        if bounds is None:
            return
        least, greatest = bounds
        last = self._journal.progress.of(table.name).last_id
        if last is not None:
            await self._copy_late(table, last)
        after = BEFORE_ALL if last is None else last
        with self._display.of(f"copying {table.name}", max(least, after), greatest) as shown:
            async with contextlib.aclosing(self._source.chunks(table, after, greatest)) as chunks:
                async for rows in chunks:
                    part = self._journal.progress.of(table.name)
                    ids = [row.id for row in rows]
                    await self._take(table, Chunk(rows, ids[-1], gaps_after(part.gaps, part.last_id, ids)))
                    shown(ids[-1])

    async def _copy_late(self, table: JavaTable, last: int) -> None:
        """Copy rows that were not committed yet when a run came by."""
        gaps = self._journal.progress.of(table.name).gaps
        if not gaps:
            return
        async with contextlib.aclosing(self._source.chunks(table, gaps[0][0] - 1, last)) as chunks:
            async for rows in chunks:
                known = self._journal.progress.of(table.name).gaps
                late = [row for row in rows if holds(known, row.id)]
                if late:
                    await self._take(table, Chunk(late, last, without(known, [row.id for row in late])))

    async def retire(self, table: JavaTable) -> None:
        """Recall or delete what was copied before that happened in the Java version."""
        last = self._journal.progress.of(table.name).last_id
        if last is None:
            return
        with self._display.of(f"looking for {table.retires} rows in {table.name}", 0, last) as shown:
            async with contextlib.aclosing(self._source.retired(table, last)) as chunks:
                async for rows in chunks:
                    fit, _ = converted(table, rows)
                    await self._attempt(lambda fit=fit: self._retire(table, fit))
                    shown(rows[-1].id)

    async def missed(self, table: JavaTable) -> dict[str, int]:
        """By the name of the table, how many more rows it has than were read; empty if it has not."""
        part = self._journal.progress.of(table.name)
        if part.last_id is None:
            return {}
        last = part.last_id
        there = await self._source.patience.of(lambda: self._source.java.count(table, last))
        return {table.name: there - part.read} if there > part.read else {}

    async def _take(self, table: JavaTable, chunk: Chunk) -> None:
        fit, unfit = converted(table, chunk.rows)
        await self._attempt(lambda: self._commit(table, chunk, fit, unfit))

    async def _commit(
        self,
        table: JavaTable,
        chunk: Chunk,
        fit: Sequence[tuple[int, AdoptedRow]],
        unfit: Sequence[Reject],
    ) -> None:
        """Copy a chunk, and move the progress on, in one transaction."""
        progress = self._journal.progress.copy()
        async with self._target.database.transaction() as session:
            await self._journal.claim(session)
            existing: dict[Key, AdoptedRow] = {}
            if self._looks_first:
                existing = await self._writer.existing(session, table, (row.key for _, row in fit))
                self._looks_first = bool(existing)
            rows = sort_rows(fit, existing)
            await self._writer.write(session, table, rows)
            rejects = [
                *unfit,
                *(reject(table, chunk.rows[index], ID_IS_TAKEN) for index in rows.differing),
            ]
            _account(progress.of(table.name), chunk, rows, unfit)
            if rejects:
                lines = [each.line for each in sorted(rejects, key=lambda each: each.id)]
                await asyncio.to_thread(self._rejects.write, lines, progress.rejects_bytes)
                progress.rejects_bytes += sum(map(len, lines))
            await self._journal.save(session, progress)
        self._journal.committed(progress)

    async def _retire(self, table: JavaTable, fit: Sequence[tuple[int, AdoptedRow]]) -> None:
        keys = [row.key for _, row in fit]
        async with self._target.database.session() as session:
            retiring = sort_rows(fit, await self._writer.existing(session, table, keys)).retiring
        if not retiring:
            return
        progress = self._journal.progress.copy()
        progress.of(table.name).retired_later += len(retiring)
        async with self._target.database.transaction() as session:
            await self._journal.claim(session)
            await self._writer.write(session, table, Sorted(retiring=retiring))
            await self._journal.save(session, progress)
        self._journal.committed(progress)

    async def _attempt(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do what is one transaction, again if need be, and once only."""
        has_failed = False

        async def once() -> None:
            nonlocal has_failed
            if has_failed and await self._journal.load_again():
                return
            try:
                await self._until_not_overtaken(action)
            except StoreUnavailable:
                has_failed = True
                raise

        await self._target.patience.of(once)

    async def _until_not_overtaken(self, action: Callable[[], Awaitable[None]]) -> None:
        for _ in range(_ATTEMPTS):
            try:
                return await action()
            except Overtaken:
                self._looks_first = True
        raise AdoptionError(
            "rows of this database are neither found nor new: are some removed all the time, "
            "or is there a unique index that is not IMC's?"
        )


def _account(part: TableProgress, chunk: Chunk, rows: Sorted, unfit: Sequence[Reject]) -> None:
    """Count what became of the rows of a chunk."""
    part.last_id = chunk.last_id
    part.gaps = chunk.gaps
    part.read += len(chunk.rows)
    part.copied += len(rows.new)
    part.already_there += rows.same
    part.duplicates += len(rows.differing)
    part.retired_later += len(rows.retiring)
    part.rejected.update(each.reason for each in unfit)
