"""Settings of ``imc-migrate``."""

from typing import Literal

from imc_service.settings import Settings
from imc_service.urls import DatabaseUrl
from pydantic import Field


class MigrateSettings(Settings):
    """What ``imc-migrate`` reads from its environment."""

    database_url: DatabaseUrl = Field(description="database that gets the tables")
    adopt_from: DatabaseUrl | None = Field(
        None, description="database of the Java version that `imc-migrate adopt` copies"
    )
    migrate_wait_seconds: float = Field(
        60, ge=0, description="how long imc-migrate waits for a database that is still starting"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log lines to write: debug, info, warning or error"
    )
