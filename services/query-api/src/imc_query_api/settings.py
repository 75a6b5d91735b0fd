"""The settings of query-api."""

from typing import Self

from imc_service.auth.settings import ServiceAccessSettings
from imc_service.http.guard.settings import GuardSettings
from imc_service.settings import port
from imc_service.urls import DatabaseUrl, RedisUrl
from pydantic import Field, model_validator

from imc_query_api.freshness.replica import LagBounds


class QueryApiSettings(ServiceAccessSettings, GuardSettings):
    """Read from the environment; see docs/settings.md."""

    port: int = port(8002)
    redis_url: RedisUrl | None = Field(
        None,
        description="the Redis that holds the logs, where this process announces itself to operators; not "
        "needed for queries",
    )
    database_url: DatabaseUrl = Field(description="the database that the logs are projected into")
    read_database_url: DatabaseUrl | None = Field(
        None,
        description="a replica of IMC_DATABASE_URL that answers queries while it is fresh: one server, "
        "not several at one address",
    )
    read_lag_seconds: float = Field(
        1.0,
        ge=1,
        le=3600,
        description="the most that the replica may be behind; beyond it IMC_DATABASE_URL answers queries",
    )
    read_lag_without_primary_seconds: float | None = Field(
        None,
        ge=1,
        le=86_400,
        description="the same while IMC_DATABASE_URL does not answer; IMC_READ_LAG_SECONDS if it is not set. "
        "With more, queries are answered for longer, and may show what was recalled in that time",
    )
    database_pool: int = Field(
        10, ge=1, le=1000, description="most connections to the database, and to the replica"
    )
    causal_reads: bool = Field(
        True,
        description="whether a query on a Galera node first waits until the node has all that was committed "
        "before; without Galera nothing changes",
    )

    @property
    def lag_bounds(self) -> LagBounds:
        """How far behind the replica may be."""
        usual, without_primary = self.read_lag_seconds, self.read_lag_without_primary_seconds
        return LagBounds(usual, usual if without_primary is None else without_primary)

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.lag_bounds.without_primary < self.lag_bounds.usual:
            raise ValueError(
                "IMC_READ_LAG_WITHOUT_PRIMARY_SECONDS must not be less than IMC_READ_LAG_SECONDS"
            )
        return self
