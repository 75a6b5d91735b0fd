"""Reads the tables of the Java version chunk by chunk, with patience, until the operator wants to end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from functools import partial

from imc_command_api.migrations.adopt.failures import Interrupted, Patience
from imc_command_api.migrations.adopt.source import BEFORE_ALL, JavaDatabase, JavaRow
from imc_command_api.migrations.adopt.tables import JavaTable


class Source:
    """The tables of the Java version."""

    def __init__(self, java: JavaDatabase, patience: Patience) -> None:
        self.java = java
        self.patience = patience

    async def bounds(self, table: JavaTable) -> tuple[int, int] | None:
        """As `JavaDatabase.bounds`."""
        return await self.patience.of(lambda: self.java.bounds(table))

    async def chunks(self, table: JavaTable, after: int, up_to: int) -> AsyncGenerator[list[JavaRow]]:
        """All rows between two ids. The next chunk is read while one is used.

        Raises `Interrupted` between chunks, and `AdoptionError`.
        """

        def read(after: int) -> asyncio.Task[list[JavaRow]]:
            return asyncio.create_task(self.patience.of(partial(self.java.chunk, table, after, up_to)))

        reading = read(after)
        try:
            while rows := await reading:
                reading = read(rows[-1].id)
                yield rows
                if self.patience.stop.is_set():
                    raise Interrupted
        finally:
            reading.cancel()
            with contextlib.suppress(BaseException):
                await reading

    async def retired(self, table: JavaTable, up_to: int) -> AsyncGenerator[list[JavaRow]]:
        """All recalled or deleted rows up to an ``id``; raises as `chunks` does."""
        after = BEFORE_ALL
        while rows := await self.patience.of(partial(self.java.retired, table, after, up_to)):
            after = rows[-1].id
            yield rows
            if self.patience.stop.is_set():
                raise Interrupted
