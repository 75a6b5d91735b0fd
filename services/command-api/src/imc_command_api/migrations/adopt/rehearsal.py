"""The dry run: reads everything that a run would read, and writes nothing but a temporary file of ids."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from imc_command_api.migrations.adopt.display import Display
from imc_command_api.migrations.adopt.passes import ID_IS_TAKEN, Target, converted, reject
from imc_command_api.migrations.adopt.progress import Progress, TableProgress
from imc_command_api.migrations.adopt.reading import Source
from imc_command_api.migrations.adopt.rejects import Reject
from imc_command_api.migrations.adopt.rows import AdoptedRow, Key
from imc_command_api.migrations.adopt.source import BEFORE_ALL, JavaRow
from imc_command_api.migrations.adopt.tables import JavaTable
from imc_command_api.migrations.adopt.writer import Writer, sort_rows

_EXAMPLES = 3


@dataclass
class Forecast:
    """What a run would do."""

    tables: dict[str, TableProgress] = field(default_factory=dict[str, TableProgress])
    examples: dict[str, list[Reject]] = field(default_factory=dict[str, list[Reject]])
    """By reason, the first rows that would be rejected."""

    @property
    def rows(self) -> int:
        """How many rows would be read."""
        return sum(part.read for part in self.tables.values())


class Rehearsal:
    """Sorts the rows as `Passes` would. Methods raise `AdoptionError` and `Interrupted`."""

    def __init__(self, source: Source, target: Target, display: Display) -> None:
        self._source = source
        self._target = target
        self._display = display
        self._writer = Writer(is_sqlite=target.database.is_sqlite)

    async def look(self, table: JavaTable, progress: Progress, forecast: Forecast) -> None:
        """Add to ``forecast`` what a run that begins at ``progress`` would do with a table."""
        last = progress.of(table.name).last_id
        part = forecast.tables.setdefault(table.name, TableProgress())
        bounds = await self._source.bounds(table)
        if bounds is None:
            return
        least, greatest = bounds
        after = BEFORE_ALL if last is None else last
        first_rows = await asyncio.to_thread(_FirstRows)
        with (
            contextlib.closing(first_rows),
            self._display.of(f"reading {table.name}", max(least, after), greatest) as shown,
        ):
            async with contextlib.aclosing(self._source.chunks(table, after, greatest)) as chunks:
                async for rows in chunks:
                    await self._sort(table, rows, first_rows, part, forecast)
                    shown(rows[-1].id)

    async def _sort(
        self,
        table: JavaTable,
        rows: Sequence[JavaRow],
        first_rows: "_FirstRows",
        part: TableProgress,
        forecast: Forecast,
    ) -> None:
        fit, unfit = converted(table, rows)
        keys = {row.key: rows[index].id for index, row in reversed(fit)}
        result = sort_rows(fit, await self._known(table, keys, first_rows))
        await asyncio.to_thread(first_rows.add, ((key, keys[key]) for key in result.new))
        part.read += len(rows)
        part.copied += len(result.new)
        part.already_there += result.same
        part.duplicates += len(result.differing)
        part.retired_later += len(result.retiring)
        part.rejected.update(each.reason for each in unfit)
        for each in (*unfit, *(reject(table, rows[index], ID_IS_TAKEN) for index in result.differing)):
            examples = forecast.examples.setdefault(each.reason, [])
            if len(examples) < _EXAMPLES:
                examples.append(each)

    async def _known(
        self, table: JavaTable, keys: Iterable[Key], first_rows: "_FirstRows"
    ) -> dict[Key, AdoptedRow]:
        """Rows with these keys that IMC has, or would have from earlier chunks."""

        async def existing() -> dict[Key, AdoptedRow]:
            async with self._target.database.session() as session:
                return await self._writer.existing(session, table, keys)

        known = await self._target.patience.of(existing)
        ids = await asyncio.to_thread(first_rows.ids_of, keys)
        if ids:
            read = self._source.java.rows
            earlier = await self._source.patience.of(lambda: read(table, ids))
            fit, _ = converted(table, earlier)
            known = {row.key: row for _, row in fit} | known
        return known


class _FirstRows:
    """For each key the ``id`` of its first row, in a file that nobody else sees and that ends with this."""

    def __init__(self) -> None:
        # An empty name: a temporary file. Threads use it in turn.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute(
            "CREATE TABLE first (app_id TEXT, key INTEGER, id INTEGER, PRIMARY KEY (app_id, key))"
        )
        self._database.execute("BEGIN")

    def add(self, firsts: Iterable[tuple[Key, int]]) -> None:
        self._database.executemany("INSERT INTO first VALUES (?, ?, ?)", ((*key, id_) for key, id_ in firsts))

    def ids_of(self, keys: Iterable[Key]) -> list[int]:
        select = "SELECT id FROM first WHERE app_id = ? AND key = ?"
        return [row[0] for key in keys for row in self._database.execute(select, key)]

    def close(self) -> None:
        self._database.close()
