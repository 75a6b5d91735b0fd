"""The ASGI application of query-api."""

import contextlib
from collections.abc import AsyncGenerator
from typing import TypedDict

from fastapi import FastAPI
from imc_service import background
from imc_service.access.gatekeeper import gatekeeper_of
from imc_service.access.service_tokens import QUERY_API
from imc_service.application import TELEMETRY_OFF, equip
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_query_api import http
from imc_query_api.bootstrap import open_query_api
from imc_query_api.http.state import QueryApi
from imc_query_api.settings import QueryApiSettings


class State(TypedDict):
    """What requests find in ``request.state``."""

    query_api: QueryApi


def create_app(settings: QueryApiSettings) -> FastAPI:
    """Build the application; connections are opened when it starts."""
    readiness, registry = Readiness(), CollectorRegistry()
    gatekeeper = gatekeeper_of(settings, QUERY_API)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[State]:
        async with (
            gatekeeper.running(readiness),
            open_query_api(settings, readiness, registry) as query_api,
            background.running(readiness.keep_telling()),
        ):
            yield {"query_api": query_api}

    app = FastAPI(
        title="IMC query-api",
        description="Answers the queries of history, groups and notices.",
        version="0.1.0",
        lifespan=lifespan,
        telemetry=TELEMETRY_OFF,
        docs_url=None,
        redoc_url=None,
    )
    return equip(
        app, readiness, registry, http.routes(), http.internal_routes(), gatekeeper=gatekeeper, hot=http.hot()
    )
