"""The settings of `imc deadletters --direct`."""

from imc_service.settings import Settings
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field


class DeadLettersSettings(Settings):
    """What `imc deadletters --direct` reads from its environment."""

    redis_url: RedisUrl = Field(description="the Redis that holds the logs")
    database_url: DatabaseUrl = Field(description="the database that the logs are projected into")
