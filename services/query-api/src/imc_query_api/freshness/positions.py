"""How far the log of each app is in a database."""

import asyncio

from imc_contracts.schema import PROJECTIONS
from imc_service.database.database import Database, StatementRefused, StoreUnavailable

_POSITION = f"SELECT position FROM {PROJECTIONS} WHERE app_id = ?"  # noqa: S608


class Positions:
    """Reads positions from one database. Callers that ask for one app at once share a look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: dict[str, asyncio.Task[str | None]] = {}

    async def has(self, app_id: str, position: str) -> bool | None:
        """Whether the database has the app's log up to ``position``, see `EntryId.column`.

        None if the database does not answer. A look that began before the call may say no though the answer
        is yes now, and never the other way round: positions only grow.
        """
        look = self._looks.get(app_id)
        if look is None:
            look = self._looks[app_id] = asyncio.create_task(self._look(app_id))
            look.add_done_callback(lambda _: self._looks.pop(app_id))
        found = await asyncio.shield(look)
        return None if found is None else found >= position

    async def _look(self, app_id: str) -> str | None:
        try:
            rows = await self._database.fetch_all(_POSITION, (app_id,))
        except (StoreUnavailable, StatementRefused):
            return None
        return rows[0][0] if rows else ""
