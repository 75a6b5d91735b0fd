"""The settings of query-api."""

from typing import Self

from imc_service.auth.settings import ServiceAccessSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import port
from imc_service.urls import DatabaseUrl
from pydantic import Field, model_validator


class QueryApiSettings(ServiceAccessSettings, GuardSettings):
    """Read from the environment; see docs/settings.md."""

    port: int = port(8002)
    read_database_url: DatabaseUrl | None = Field(
        None,
        description="the database that queries read, a replica say; IMC_DATABASE_URL if it is not set, from "
        "which what logs have forgotten is read in any case",
    )
    database_url: DatabaseUrl | None = Field(
        None, description="the database that the logs are projected into"
    )
    database_pool: int = Field(10, ge=1, le=1000, description="most connections to the database")

    @model_validator(mode="after")
    def _has_a_database(self) -> Self:
        if self.read_database_url is None and self.database_url is None:
            raise ValueError("IMC_READ_DATABASE_URL or IMC_DATABASE_URL must be set")
        return self

    @property
    def database_to_read(self) -> str:
        """The URL of the database that answers queries."""
        url = self.read_database_url or self.database_url
        assert url is not None, "checked when the settings were read"
        return url.get_secret_value()
