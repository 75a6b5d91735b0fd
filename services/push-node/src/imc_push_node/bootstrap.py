"""The composition root of push-node: the only place that knows which parts are real."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import httpx
from imc_service import background, redis_client
from imc_service.access.gatekeeper import Gatekeeper
from imc_service.access.grant import Scope
from imc_service.access.service_tokens import QUERY_API
from imc_service.health import Readiness
from imc_service.quota_watch import open_quotas
from imc_service.redis_health import RedisHealth
from prometheus_client import CollectorRegistry

from imc_push_node.archive import Archive
from imc_push_node.command_api import CommandApiClient
from imc_push_node.connection import Connections
from imc_push_node.drain import Drain
from imc_push_node.forwarder import Forwarder, Limits
from imc_push_node.hub import Hub
from imc_push_node.log_reader import LogReader
from imc_push_node.membership import Membership
from imc_push_node.metrics import NodeMetrics
from imc_push_node.places import Places
from imc_push_node.posting import posting, posting_within
from imc_push_node.proof import NodeProof
from imc_push_node.query_api import QueryApiClient
from imc_push_node.recall_marks import RecallMarks
from imc_push_node.registration import Registration
from imc_push_node.service_client import service_client
from imc_push_node.settings import PushNodeSettings
from imc_push_node.subscriber import Subscriber
from imc_push_node.tokens import Tokens
from imc_push_node.watch import Watch


@dataclass(frozen=True)
class PushNode:
    """What requests and the end of the process need of the node."""

    connections: Connections
    places: Places
    drain: Drain
    membership: Membership


@contextlib.asynccontextmanager
async def open_push_node(
    settings: PushNodeSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    gatekeeper: Gatekeeper,
    client: httpx.AsyncClient | None = None,
) -> AsyncGenerator[PushNode]:
    """Open what push-node works with; it heals by itself when Redis or the other services come later.

    ``client`` calls command-api and query-api, both at its base URL; our own are made if none is given.
    """
    redis = redis_client.connect(settings.redis_url.get_secret_value())
    metrics = NodeMetrics(registry)
    subscriber = Subscriber(redis, metrics)
    reader = LogReader(redis, metrics.skipped)
    proof = NodeProof(redis, subscriber)
    health = RedisHealth(redis, proof.of_commands, registry, "push_node")
    limits = Limits(settings.forward_gateway_bytes, settings.forward_node_bytes, settings.forward_seconds)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(contextlib.aclosing(redis))
        archive = None
        if settings.query_api_url is not None:
            query_api = client or await stack.enter_async_context(
                service_client(settings, settings.query_api_url, QUERY_API, Scope.INTERNAL)
            )
            archive = Archive(QueryApiClient(query_api), RecallMarks(redis, metrics.skipped))
        post = posting_within(client) if client else await stack.enter_async_context(posting(settings))
        hub = Hub(reader, subscriber, metrics, settings.linger_seconds, archive)
        registration = Registration(redis, hub)
        quotas = await stack.enter_async_context(open_quotas(settings, metrics.quotas_stale))
        places = Places(redis, hub, quotas, metrics.places_refused)
        watch = Watch(hub, registration, subscriber, settings.stall_seconds)
        forwarder = Forwarder(CommandApiClient(post), metrics, limits)
        membership = Membership(redis, readiness, settings.advertise_url)
        drain = Drain(hub, forwarder, settings.drain_seconds)
        readiness.add("log", health.ready)
        readiness.add("pushes", proof.of_pushes)
        readiness.add("drain", drain.ready)
        for part in (subscriber, health, registration, places, watch, membership):
            await stack.enter_async_context(background.running(background.lasting(part.run)))
        tokens = Tokens(gatekeeper, metrics)
        stack.callback(hub.close)
        stack.callback(forwarder.close)
        stack.callback(tokens.close)
        connections = Connections(
            hub,
            registration,
            forwarder,
            drain,
            tokens,
            metrics,
            settings.gateway_buffer_bytes,
            settings.max_bad_frames_per_minute,
        )
        yield PushNode(connections, places, drain, membership)
