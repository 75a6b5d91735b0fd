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
from imc_contracts.policies import Policies
from imc_push_node.bootstrap import open_push_node
from imc_push_node.http.state import PushNode
from imc_query_api.bootstrap import open_query_api
from imc_query_api.http.state import QueryApi
from imc_service import presence
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.grant import EVERYTHING
from imc_service.auth.middleware import STATE
from imc_service.current_call import answering
from imc_service.database.url import sqlite_url
from imc_service.health import Readiness
from imc_service.presence import Identity
from imc_service.tracing.tracing import Tracing
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_standalone.embedded_redis import embedded_redis
from imc_standalone.settings import OWN_URL, PartSettings, StandaloneSettings


class State(TypedDict):
    """What requests find in ``request.state``: the parts, as each process has its own."""

    command_api: CommandApi
    query_api: QueryApi
    push_node: PushNode


@contextlib.asynccontextmanager
async def open_standalone(
    own_calls: ASGIApp,
    settings: StandaloneSettings,
    parts: PartSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    gatekeeper: Gatekeeper,
    policies: Policies,
    identity: Identity,
    tracing: Tracing | None,
) -> AsyncGenerator[State]:
    """Open log and database, then all parts on them.

    ``identity`` is that under which the process is announced.
    ``tracing`` makes the spans of all parts.
    ``own_calls`` is the application that answers their calls to each other, without a network between.
    """
    async with contextlib.AsyncExitStack() as stack:
        redis_url, database_url = await _open_stores(stack, settings)
        await asyncio.to_thread(migrate, database_url)
        parts = parts.on(redis_url, database_url)
        enter = stack.enter_async_context
        command_api = await enter(
            open_command_api(parts.command_api, readiness, registry, policies, identity.version, tracing)
        )
        # Nobody else reaches an embedded log: what a killed process owned is taken over at once.
        is_alone = settings.redis_url is None
        await enter(
            open_projector(parts.projector, readiness, registry, policies, tracing, is_alone=is_alone)
        )
        query_api = await enter(open_query_api(parts.query_api, readiness, registry))
        state = {"command_api": command_api, "query_api": query_api, STATE: EVERYTHING}
        transport = httpx.ASGITransport(_with_state(own_calls, state, tracing), raise_app_exceptions=False)
        client = await enter(httpx.AsyncClient(transport=transport, base_url=OWN_URL))
        push_node = await enter(
            open_push_node(
                parts.push_node, readiness, registry, gatekeeper, policies, identity, client, tracing=tracing
            )
        )
        await enter(presence.announced(redis_url, identity, readiness))
        yield {"command_api": command_api, "query_api": query_api, "push_node": push_node}


async def _open_stores(stack: contextlib.AsyncExitStack, settings: StandaloneSettings) -> tuple[str, str]:
    """The URLs of log and database: those given, or embedded ones in the data folder."""
    folder = settings.data_dir.absolute()
    if settings.redis_url is not None:
        redis_url = settings.redis_url.get_secret_value()
    else:
        redis_url = await stack.enter_async_context(embedded_redis(folder / "log"))
    if settings.database_url is not None:
        database_url = settings.database_url.get_secret_value()
    else:
        database_url = sqlite_url(folder / "imc.sqlite3")
    return redis_url, database_url


def _with_state(app: ASGIApp, state: Mapping[str, object], tracing: Tracing | None) -> ASGIApp:
    """``app`` for calls that no server carries, and that so lack what a server and its hot path add."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "state": dict(state)}
        span = None if tracing is None else tracing.begin_call(scope, scope["path"])
        with answering(scope):
            await app(scope, receive, send)
        if span is not None:
            span.end()

    return call
