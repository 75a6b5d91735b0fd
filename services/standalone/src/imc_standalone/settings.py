"""The settings of standalone: its own, and those of the parts that it runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from imc_service.settings import Settings
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field


class StandaloneSettings(Settings):
    """Read from the environment; with nothing set everything is embedded."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=1, le=65535, description="port to listen on")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="debug, info, warning or error"
    )
    data_dir: Path = Field(Path(".imc-data"), description="folder of the embedded log and database")
    redis_url: RedisUrl | None = Field(None, description="the Redis that holds the logs; else embedded")
    database_url: DatabaseUrl | None = Field(None, description="the database; else SQLite in the data folder")


def environment_of_parts(environment: Mapping[str, str], redis_url: str, database_url: str) -> dict[str, str]:
    """What each part is to read as its environment: the caller's, with log and database filled in.

    A replica of the database is read only where the database itself was given too.
    """
    return {
        **environment,
        "IMC_REDIS_URL": redis_url,
        "IMC_DATABASE_URL": database_url,
        "IMC_COMMAND_API_URL": "http://standalone",
        "IMC_QUERY_API_URL": "http://standalone",
    }
