"""The settings of command-api."""

from typing import Literal

from imc_service.settings import Settings
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field

LogLevel = Literal["debug", "info", "warning", "error"]


class CommandApiSettings(Settings):
    """Read from the environment; see the README's table."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8001, ge=1, le=65535, description="port to listen on")
    log_level: LogLevel = Field("info", description="debug, info, warning or error")
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
    max_body_bytes: int = Field(41_943_040, ge=1024, description="largest body of a request")
