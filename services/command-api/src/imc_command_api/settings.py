"""The settings of command-api."""

from imc_service.app_metrics import AppMetricsSettings
from imc_service.auth.settings import ServiceAccessSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import port
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field

from imc_command_api.log.settings import ReplicaSettings


class CommandApiSettings(ReplicaSettings, AppMetricsSettings, ServiceAccessSettings, GuardSettings):
    """Read from the environment; see the README's table."""

    port: int = port(8001)
    redis_url: RedisUrl = Field(description="the Redis that holds the logs")
    database_url: DatabaseUrl = Field(description="the database that the logs are projected into")
    database_pool: int = Field(10, ge=1, le=1000, description="most connections to the database")
    recall_window_seconds: int = Field(
        120, ge=1, le=31_536_000, description="how long after its sending a message may be recalled"
    )
    idempotency_seconds: int = Field(
        3600, ge=1, le=31_536_000, description="how long a clientMessageId is remembered"
    )
    backlog_limit: int = Field(
        1_000_000, ge=1, description="entries of one app that may wait for the database before sends get 503"
    )
    new_apps_per_hour: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="apps that may be new in an hour, also all at once; 0 for no limit",
    )
    max_body_bytes: int = Field(
        4_194_304, ge=1024, description="largest body of a batch; other calls take 1 MiB at most"
    )
    max_unfinished_body_bytes: int = Field(
        67_108_864,
        ge=1024,
        description="bytes of bodies that are here in part, of all clients; large bodies beyond get 503",
    )
