"""The composition root of query-api: the only place that knows which parts are real."""

import contextlib
from collections.abc import AsyncGenerator

from imc_service.database.database import open_database
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_query_api.http.state import QueryApi
from imc_query_api.queries.group_history import GroupHistory
from imc_query_api.queries.groups import Groups
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.neighbours import Neighbours
from imc_query_api.queries.notices import Notices
from imc_query_api.queries.store import Store
from imc_query_api.queries.user_history import UserHistory
from imc_query_api.settings import QueryApiSettings

__all__ = ["QueryApi", "open_query_api"]

QUERY_SECONDS = 10.0
"""Whoever asked is gone by then."""

LOG_CONNECTIONS = 4
"""For push-nodes, beside those for clients: gateways that catch up must not make queries wait."""


@contextlib.asynccontextmanager
async def open_query_api(
    settings: QueryApiSettings, readiness: Readiness, registry: CollectorRegistry
) -> AsyncGenerator[QueryApi]:
    """Open what query-api works with; it heals by itself when the database comes later."""
    async with (
        open_database(
            settings.database_to_read, size=settings.database_pool, deadline=QUERY_SECONDS
        ) as database,
        _open_log_store(settings) as log_store,
    ):
        store = Store(database, registry)
        readiness.add("database to read", store.ready)
        yield QueryApi(
            GroupHistory(store),
            UserHistory(store),
            Neighbours(store),
            Groups(store),
            Notices(store),
            LogChanges(log_store),
        )


@contextlib.asynccontextmanager
async def _open_log_store(settings: QueryApiSettings) -> AsyncGenerator[Store | None]:
    """The database that the logs are projected into, if it is known: a replica may lack what a log forgot."""
    if settings.database_url is None:
        yield None
        return
    url = settings.database_url.get_secret_value()
    async with open_database(url, size=LOG_CONNECTIONS, deadline=QUERY_SECONDS) as database:
        yield Store(database, CollectorRegistry())  # the times of queries are those of clients alone
