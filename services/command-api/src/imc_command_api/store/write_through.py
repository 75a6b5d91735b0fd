"""Applies recalls and notices to the database before they are acknowledged: callers read their own writes."""

import asyncio

from imc_contracts.events import Entry
from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.logs import get_logger

from imc_command_api.store.projection import PlacedEntry, Projection

logger = get_logger("write-through")

DEADLINE_SECONDS = 2.0
"""A hung database delays an acknowledgement by this much and no more."""


class ProjectionWriteThrough:
    """Runs the projector's own function on a single entry."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    async def __call__(self, app_id: str, entry: Entry) -> None:
        """Apply ``entry``; what fails is left to the projector, which reads it from the log."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._projection.apply([PlacedEntry(app_id, entry)])
        except StatementRefused as error:
            logger.warning("refused by the database, left to the projector", reason=str(error))
        except (StoreUnavailable, TimeoutError) as error:
            # What is wrong with the database as a whole is told once, by the watch over readiness.
            logger.debug("left to the projector", reason=str(error) or "no answer in time")
