"""Puts query-api together. Only this module knows the concrete parts."""

import contextlib
from collections.abc import AsyncGenerator

from imc_service.background import lasting, running
from imc_service.database.database import Database, open_database
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry, Histogram

from imc_query_api.freshness.reads import Reads
from imc_query_api.freshness.replica import LOOK_SECONDS, Replica
from imc_query_api.freshness.sources import Primary, ReadReplica
from imc_query_api.http.state import QueryApi
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.store import Store, query_seconds
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
    """Open what query-api works with. The databases may come later."""
    url, seconds = settings.database_url.get_secret_value(), query_seconds(registry)
    async with contextlib.AsyncExitStack() as stack:
        database = await _open(stack, settings, url, settings.database_pool)
        # Not from a replica, which may lack what a log has trimmed. Only queries of clients are timed.
        log_store = Store(await _open(stack, settings, url, LOG_CONNECTIONS))
        primary = Primary(database, seconds)
        replica = await _open_replica(stack, settings, primary, seconds)
        reads = Reads(primary, replica, registry)
        readiness.add("database to read", reads.ready)
        yield QueryApi(reads, LogChanges(log_store))


async def _open_replica(
    stack: contextlib.AsyncExitStack, settings: QueryApiSettings, primary: Primary, seconds: Histogram
) -> ReadReplica | None:
    """Open the replica, if one is set, and begin to watch it."""
    if settings.read_database_url is None:
        return None
    url = settings.read_database_url.get_secret_value()
    primary_url = settings.database_url.get_secret_value()
    watched = Replica(
        await _open(stack, settings, primary_url, 1, LOOK_SECONDS),
        await _open(stack, settings, url, 1, LOOK_SECONDS),
        settings.lag_bounds,
    )
    database = await _open(stack, settings, url, settings.database_pool)
    await stack.enter_async_context(running(lasting(watched.keep_looking)))
    return ReadReplica(database, seconds, watched, primary)


async def _open(
    stack: contextlib.AsyncExitStack,
    settings: QueryApiSettings,
    url: str,
    size: int,
    deadline: float = QUERY_SECONDS,
) -> Database:
    database = open_database(
        url, size=size, deadline=deadline, may_be_read_only=True, causal_reads=settings.causal_reads
    )
    return await stack.enter_async_context(database)
