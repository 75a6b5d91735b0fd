"""Puts query-api together. Only this module knows the concrete parts."""

import contextlib
from collections.abc import AsyncGenerator

from imc_service.database.database import open_database
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_query_api.http.state import QueryApi
from imc_query_api.queries.groups import Groups
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.messages import Messages
from imc_query_api.queries.notices import Notices
from imc_query_api.queries.store import Store
from imc_query_api.settings import QueryApiSettings

__all__ = ["QueryApi", "open_query_api"]

QUERY_SECONDS = 10.0
"""After this time, the client has most likely given up."""

LOG_CONNECTIONS = 4
"""For push-nodes, apart from those for clients: gateways that resume must not make queries wait."""


@contextlib.asynccontextmanager
async def open_query_api(
    settings: QueryApiSettings, readiness: Readiness, registry: CollectorRegistry
) -> AsyncGenerator[QueryApi]:
    """Open what query-api works with. The database may come later."""
    async with (
        open_database(
            settings.database_to_read, size=settings.database_pool, deadline=QUERY_SECONDS
        ) as database,
        _open_log_store(settings) as log_store,
    ):
        store = Store(database, registry)
        readiness.add("database to read", store.ready)
        yield QueryApi(Messages(store), Groups(store), Notices(store), LogChanges(log_store))


@contextlib.asynccontextmanager
async def _open_log_store(settings: QueryApiSettings) -> AsyncGenerator[Store | None]:
    """Open the database that the logs are projected into, if it is set.

    A replica may lack what a log has trimmed.
    """
    if settings.database_url is None:
        yield None
        return
    url = settings.database_url.get_secret_value()
    async with open_database(url, size=LOG_CONNECTIONS, deadline=QUERY_SECONDS) as database:
        yield Store(database, CollectorRegistry())  # only queries of clients are timed
