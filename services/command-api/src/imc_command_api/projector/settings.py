"""The settings of the projector."""

from imc_service.apps_file import AppsFileSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import ServerSettings, port
from imc_service.tracing.settings import TracingSettings
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field

from imc_command_api.log.settings import ReplicaSettings


class ProjectorSettings(ReplicaSettings, AppsFileSettings, TracingSettings, ServerSettings, GuardSettings):
    """Read from the environment; see the README's table."""

    port: int = port(8004)
    redis_url: RedisUrl = Field(description="the Redis that holds the logs")
    database_url: DatabaseUrl = Field(description="the database that the logs are projected into")
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
    sweep_seconds: float = Field(
        3600,
        ge=1,
        le=86_400,
        description="how often rows are looked for that `retention_days` and `abandoned_group_days` do not "
        "keep, and removed",
    )
    sweep_share: float = Field(
        0.01,
        ge=0.001,
        le=1,
        description="the part of the time in which a projector looks for such rows and removes them; more is "
        "faster, and queries feel it",
    )
