"""Describes the processes and the servers of the installation."""

from imc_contracts.operator_views import DatabaseState, Installation
from imc_service import presence
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from imc_service.redis.health import RedisHealth
from imc_service.redis.masters import Masters


class InstallationReader:
    """Asks Redis and the database how they are, and reads what processes say of themselves."""

    def __init__(self, version: str, masters: Masters, health: RedisHealth, database: Database) -> None:
        self._version = version
        self._masters = masters
        self._health = health
        self._database = database

    async def read(self) -> Installation:
        """The installation as it is now. Raises what redis-py raises, if processes can't be read."""
        reason = await self._health.ready()
        return {
            "version": self._version,
            "processes": await presence.processes(self._masters),
            "redis": {
                "ready": reason is None,
                "reason": reason,
                "isCluster": self._masters.is_cluster,
                "masters": self._health.masters(),
            },
            "database": await self._database_state(),
        }

    async def _database_state(self) -> DatabaseState:
        kind, call = ("sqlite", "sqlite_version()") if self._database.is_sqlite else ("mysql", "VERSION()")
        try:
            [[version]] = await self._database.fetch_all(f"SELECT {call}")
        except (StoreUnavailable, StatementRefused) as error:
            return {"ready": False, "reason": str(error), "kind": kind, "version": None}
        return {"ready": True, "reason": None, "kind": kind, "version": str(version)}
