"""The settings of the projector."""

from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import ServerSettings, port
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field


class ProjectorSettings(ServerSettings, GuardSettings):
    """Read from the environment; see the README's table."""

    port: int = port(8004)
    redis_url: RedisUrl = Field(description="the Redis that holds the logs")
    database_url: DatabaseUrl = Field(description="the database that the logs are projected into")
    claim_idle_seconds: float = Field(
        30,
        gt=0,
        le=86_400,
        description="after how long the unfinished work of another projector is taken over",
    )
    log_retention_seconds: int = Field(
        3600, ge=0, le=31_536_000, description="how long an entry stays in the log once the database has it"
    )
    app_retention_seconds: int = Field(
        86_400,
        ge=60,
        le=31_536_000,
        description="how long after its last entry an app without gateways and dead letters stays in Redis; "
        "its history stays in the database",
    )
    log_retention_entries: int = Field(
        200_000, ge=1, description="how many entries of one app stay in the log once the database has them"
    )
