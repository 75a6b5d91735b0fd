"""The heartbeat of the database: a number that grows, by which readers see how far a replica is behind."""

import asyncio
import contextlib

from imc_contracts.schema import HEARTBEATS
from imc_service import ticks
from imc_service.database.database import Database, Refusal, StatementRefused, StoreUnavailable

BEAT_SECONDS = 0.25
"""A reader knows the lag of a replica no better than to the time between two beats."""

_FIND = f"SELECT beat FROM {HEARTBEATS} WHERE id = 1"  # noqa: S608
_BEGIN = f"INSERT INTO {HEARTBEATS} (id, beat) VALUES (1, 1)"  # noqa: S608
_GROW = f"UPDATE {HEARTBEATS} SET beat = beat + 1 WHERE id = 1 AND beat = ?"  # noqa: S608


class Heartbeat:
    """Lets the heartbeat grow. Any number of processes may do so: together they write as often as one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: int | None = None

    async def beat(self) -> None:
        """Let the number grow by one, unless it has grown since the last call.

        Raises `StoreUnavailable` or `StatementRefused`.
        """
        if self._seen is not None and await self._grow(self._seen):
            self._seen += 1  # as always, if no other process writes
            return
        rows = await self._database.fetch_all(_FIND)
        if rows:
            self._seen = rows[0][0]
        else:
            await self._begin()
            self._seen = 1

    async def keep_beating(self) -> None:
        """`beat` every `BEAT_SECONDS`, until cancelled. A database that is away is tried again."""
        while True:
            with contextlib.suppress(StoreUnavailable, StatementRefused):  # whoever writes rows says so
                await self.beat()
            await asyncio.sleep(ticks.pause(BEAT_SECONDS))

    async def _grow(self, beat: int) -> bool:
        """Let it grow from ``beat``; False, without effect, if another process was faster."""
        async with self._database.session() as session:
            return await session.execute(_GROW, (beat,)) > 0

    async def _begin(self) -> None:
        try:
            async with self._database.session() as session:
                await session.execute(_BEGIN)
        except StatementRefused as refused:  # as a duplicate if another process was faster
            if refused.kind is not Refusal.DUPLICATE:
                raise
