"""Applies recalls and notices to the database before they are acknowledged, so that clients read them."""

import asyncio

from imc_contracts.events import Entry
from imc_service.database.database import StatementRefused, StoreUnavailable
from imc_service.logs import get_logger

from imc_command_api.store.projection import PlacedEntry, Projection

logger = get_logger("write-through")

DEADLINE_SECONDS = 2.0
"""How long a database that hangs delays an acknowledgement."""


class ProjectionWriteThrough:
    """Implements `ports.WriteThrough` with the projector's own function."""

    def __init__(self, projection: Projection) -> None:
        self._projection = projection

    async def __call__(self, app_id: str, entry: Entry) -> None:
        """Apply ``entry``. If that fails, the projector applies it later, from the log."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await self._apply(PlacedEntry(app_id, entry))
        except StatementRefused as error:
            logger.warning("refused by the database, left to the projector", reason=str(error))
        except (StoreUnavailable, TimeoutError) as error:
            # The readiness check reports the outage, once.
            logger.debug("left to the projector", reason=str(error) or "no answer in time")

    async def _apply(self, placed: PlacedEntry) -> None:
        # A notice that is published once more, with its clientMessageId, may be erased since.
        late = {placed.app_id}
        try:
            await self._projection.apply([placed], late)
        except StoreUnavailable:
            # The connection may have ended with its server. The next one may lead to another host.
            await self._projection.apply([placed], late)
