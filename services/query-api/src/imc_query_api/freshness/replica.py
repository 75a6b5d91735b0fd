"""Watches a replica: how far it is behind the primary, and whether queries may read it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from imc_contracts.schema import HEARTBEATS
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from imc_service.logs import get_logger

from imc_query_api.freshness.beats import Beats

logger = get_logger("replica")

LOOK_SECONDS = 1.0
"""A server that does not answer a look for so long is out of reach."""

LONGEST_PAUSE = 1.0
LOOKS_WITHIN_BOUND = 5
"""What a look found ages until the next one. So looks are more frequent if the bound is small."""

_BEAT = f"SELECT beat FROM {HEARTBEATS} WHERE id = 1"  # noqa: S608


@dataclass(frozen=True, slots=True)
class LagBounds:
    """How many seconds a replica that answers queries may be behind."""

    usual: float
    without_primary: float
    """The same while the primary does not answer."""


class Behind(StoreUnavailable):
    """The replica may not be read now."""


class Replica:
    """The state of a replica as far as it is known. `keep_looking` must be running."""

    def __init__(self, primary: Database, replica: Database, bounds: LagBounds) -> None:
        """Both databases are for looks only: queries that wait for a connection must not make looks wait."""
        self._primary = primary
        self._replica = replica
        self._bounds = bounds
        self._beats = Beats()
        self._primary_answers = True
        self._fault: str | None = "not looked at yet"
        self._reads: set[asyncio.Timeout] = set()

    @property
    def lag(self) -> float:
        """The most seconds that the replica can be behind, infinite if that is not known.

        It includes the time since the last look, in which the replica may have stopped.
        """
        return time.monotonic() - self._beats.complete_until

    @property
    def may_answer(self) -> bool:
        """Whether queries may read the replica now."""
        return self._fault is None and self.lag <= self._bound

    def require(self) -> None:
        """Raise `Behind` unless `may_answer`."""
        if not self.may_answer:
            raise Behind(self.trouble())

    def trouble(self) -> str | None:
        """Why queries may not read the replica, or None."""
        if self._fault is not None:
            return self._fault
        lag = self.lag
        return None if lag <= self._bound else f"it may be {lag:.1f} s behind, more than {self._bound:g} s"

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """Read the replica inside. Raises `TimeoutError` as soon as the replica is found out of reach."""
        async with asyncio.timeout(None) as limit:
            self._reads.add(limit)
            try:
                yield
            finally:
                self._reads.discard(limit)

    async def keep_looking(self) -> None:
        """Look at the primary and the replica again and again, until cancelled."""
        pause = min(self._bounds.usual / LOOKS_WITHIN_BOUND, LONGEST_PAUSE)
        while True:
            await self._look()
            await asyncio.sleep(pause)

    @property
    def _bound(self) -> float:
        return self._bounds.usual if self._primary_answers else self._bounds.without_primary

    async def _look(self) -> None:
        at_replica = await _beat(self._replica)
        begun = time.monotonic()
        at_primary = await _beat(self._primary)
        self._primary_answers = isinstance(at_primary, int)
        self._note_fault(None if isinstance(at_replica, int) else at_replica)
        if isinstance(at_primary, int) and isinstance(at_replica, int):
            self._beats.note(begun, at_primary, at_replica)

    def _note_fault(self, fault: str | None) -> None:
        if fault is not None and self._fault is None:
            logger.warning("the replica can't be read, queries go to the primary", reason=fault)
        elif fault is None and self._fault is not None:
            logger.warning("the replica can be read")
        self._fault = fault
        if fault is not None:
            for limit in self._reads:
                limit.reschedule(0)


async def _beat(database: Database) -> int | str:
    """The beat that a database has, or why there is none."""
    try:
        rows = await database.fetch_all(_BEAT)
    except (StoreUnavailable, StatementRefused) as error:
        return str(error)
    return rows[0][0] if rows else "it has no heartbeat: no projector has written one"
