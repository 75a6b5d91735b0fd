"""The ASGI application of query-api."""

import contextlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI
from imc_service import presence
from imc_service.apps_file import AppsFile
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.service_tokens import QUERY_API
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
from imc_service.presence import Identity
from imc_service.tracing.otlp import tracing_of
from prometheus_client import CollectorRegistry

from imc_query_api import http
from imc_query_api.bootstrap import open_query_api
from imc_query_api.settings import QueryApiSettings

PROGRAM = Program(
    name="imc-query-api",
    package="imc-query-api",
    purpose="Answers the queries of history, groups and notices.",
    settings=(QueryApiSettings,),
    example="IMC_AUTH=off IMC_DATABASE_URL=mysql://imc@127.0.0.1/imc imc-query-api",
)


def _announced(settings: QueryApiSettings, readiness: Readiness) -> AbstractAsyncContextManager[None]:
    """Announce the process where Redis is known."""
    if settings.redis_url is None:
        return contextlib.nullcontext()
    address = presence.address_at(settings.host, settings.port)
    identity = Identity(PROGRAM.name, PROGRAM.version, address)
    return presence.announced(settings.redis_url.get_secret_value(), identity, readiness)


def create_app(settings: QueryApiSettings) -> FastAPI:
    """Build the application; connections are opened when it starts."""
    apps_file = AppsFile(settings.apps_file)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        async with (
            open_query_api(settings, readiness, registry) as query_api,
            _announced(settings, readiness),
        ):
            yield Opened({"query_api": query_api})

    return build_app(
        PROGRAM,
        opening,
        http.routes(),
        http.internal_routes(),
        gatekeeper=gatekeeper_of(settings, apps_file.policies, QUERY_API),
        apps_file=apps_file,
        hot=http.hot(),
        tracing=tracing_of(settings, PROGRAM.name, PROGRAM.version),
    )
