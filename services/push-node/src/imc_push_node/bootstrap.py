"""The composition root of push-node: the only place that knows which parts are real."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
from imc_service import background, redis_client
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_push_node.command_api import CommandApiClient
from imc_push_node.connection import Connections
from imc_push_node.drain import Drain
from imc_push_node.forwarder import Forwarder, Limits
from imc_push_node.hub import Hub
from imc_push_node.log_reader import LogReader
from imc_push_node.metrics import NodeMetrics
from imc_push_node.registration import Registration
from imc_push_node.settings import PushNodeSettings
from imc_push_node.subscriber import Subscriber
from imc_push_node.watch import Watch

# A kept connection that the server has just closed makes a send's end unknown: ours go before a server's do.
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=2)
_TIMEOUT = httpx.Timeout(10, connect=2, pool=2)


@dataclass(frozen=True)
class PushNode:
    """What requests and the end of the process need of the node."""

    connections: Connections
    drain: Drain


@contextlib.asynccontextmanager
async def open_push_node(
    settings: PushNodeSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    client: httpx.AsyncClient | None = None,
) -> AsyncGenerator[PushNode]:
    """Open what push-node works with; it heals by itself when Redis or command-api come later.

    ``client`` calls command-api and has its base URL; one of our own is made if none is given.
    """
    redis = redis_client.connect(settings.redis_url.get_secret_value())
    metrics = NodeMetrics(registry)
    subscriber = Subscriber(redis, metrics)
    reader = LogReader(redis, metrics.skipped)
    hub = Hub(reader, subscriber, metrics, settings.linger_seconds)
    registration = Registration(redis, hub)
    watch = Watch(hub, reader, registration, subscriber, settings.stall_seconds)
    limits = Limits(settings.forward_gateway_bytes, settings.forward_node_bytes, settings.forward_seconds)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(contextlib.aclosing(redis))
        if client is None:
            client = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=settings.command_api_url, limits=_LIMITS, timeout=_TIMEOUT, trust_env=False
                )
            )
        forwarder = Forwarder(CommandApiClient(client), metrics, limits)
        drain = Drain(hub, forwarder, settings.drain_seconds)
        readiness.add("log", lambda: redis_client.reachable(redis))
        readiness.add("pushes", subscriber.alive)
        readiness.add("drain", drain.ready)
        parts = [
            await stack.enter_async_context(_running(part))
            for part in (subscriber.run(), registration.run(), watch.run())
        ]
        readiness.add("parts", lambda: _all_run(parts))
        stack.callback(hub.close)
        stack.callback(forwarder.close)
        yield PushNode(
            Connections(hub, registration, forwarder, drain, metrics, settings.gateway_buffer_bytes), drain
        )


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await background.end([task])


async def _all_run(parts: list[asyncio.Task[None]]) -> str | None:
    """A readiness check: no part of the node has ended by a fault of ours."""
    return "a part of the node has failed" if any(part.done() for part in parts) else None
