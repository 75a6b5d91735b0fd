"""The ASGI application of query-api."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.service_tokens import QUERY_API
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
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


def create_app(settings: QueryApiSettings) -> FastAPI:
    """Build the application; connections are opened when it starts."""

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        async with open_query_api(settings, readiness, registry) as query_api:
            yield Opened({"query_api": query_api})

    return build_app(
        PROGRAM,
        opening,
        http.routes(),
        http.internal_routes(),
        gatekeeper=gatekeeper_of(settings, QUERY_API),
        hot=http.hot(),
    )
