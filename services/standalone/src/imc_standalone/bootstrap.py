"""The composition root of standalone: the same parts, wired once more."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import TypedDict

import httpx
from imc_command_api.bootstrap import open_command_api
from imc_command_api.http.state import CommandApi
from imc_command_api.migrations import migrate
from imc_command_api.projector.bootstrap import open_projector
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.bootstrap import PushNode, open_push_node
from imc_push_node.settings import PushNodeSettings
from imc_query_api.bootstrap import QueryApi, open_query_api
from imc_query_api.settings import QueryApiSettings
from imc_service.health import Readiness
from imc_service.settings import load
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_standalone import data_folder
from imc_standalone.embedded_redis import embedded_redis
from imc_standalone.settings import StandaloneSettings, environment_of_parts


class State(TypedDict):
    """What requests find in ``request.state``: the parts, as each process has its own."""

    command_api: CommandApi
    query_api: QueryApi
    push_node: PushNode


@contextlib.asynccontextmanager
async def open_standalone(
    app: ASGIApp,
    settings: StandaloneSettings,
    environment: Mapping[str, str],
    readiness: Readiness,
    registry: CollectorRegistry,
) -> AsyncGenerator[State]:
    """Open log and database, then all parts on them.

    ``app`` is the application that answers their calls to each other, without a network between.
    """
    async with contextlib.AsyncExitStack() as stack:
        redis_url, database_url = await _open_stores(stack, settings)
        await asyncio.to_thread(migrate, database_url)
        variables = environment_of_parts(environment, redis_url, database_url)
        command_api = await stack.enter_async_context(
            open_command_api(load(CommandApiSettings, variables), readiness, registry)
        )
        await stack.enter_async_context(
            open_projector(load(ProjectorSettings, variables), readiness, registry)
        )
        query_api = await stack.enter_async_context(
            open_query_api(load(QueryApiSettings, variables), readiness, registry)
        )
        own_calls = _with_state(app, {"command_api": command_api, "query_api": query_api})
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(own_calls, raise_app_exceptions=False))
        )
        push_node = await stack.enter_async_context(
            open_push_node(load(PushNodeSettings, variables), readiness, registry, client)
        )
        yield {"command_api": command_api, "query_api": query_api, "push_node": push_node}


async def _open_stores(stack: contextlib.AsyncExitStack, settings: StandaloneSettings) -> tuple[str, str]:
    """The URLs of log and database: those given, or embedded ones in the data folder."""
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    database_url = settings.database_url.get_secret_value() if settings.database_url else None
    if redis_url is None or database_url is None:
        folder = stack.enter_context(data_folder.locked(settings.data_dir))
        redis_url = redis_url or await stack.enter_async_context(embedded_redis(folder / "log"))
        database_url = database_url or data_folder.sqlite_url(folder)
    return redis_url, database_url


def _with_state(app: ASGIApp, state: Mapping[str, object]) -> ASGIApp:
    """``app`` for calls that no server carries, and that so lack the state a server hands on."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    return call
