"""The composition root of push-node: the only place that knows which parts are real."""

import contextlib
from collections.abc import AsyncGenerator

import httpx
from imc_contracts.quotas import Quotas
from imc_contracts.scopes import Scope
from imc_service import background, watched_file
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.service_tokens import QUERY_API
from imc_service.health import Readiness
from imc_service.redis import client as redis_client
from imc_service.redis.health import RedisHealth
from prometheus_client import CollectorRegistry

from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.membership import Membership
from imc_push_node.cluster.monitor import Monitor
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.forwarding.command_api import CommandApiClient
from imc_push_node.forwarding.forwarder import Forwarder, Limits
from imc_push_node.forwarding.posting import posting, posting_within
from imc_push_node.forwarding.service_client import service_client
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.http.connection import Connections
from imc_push_node.http.state import PushNode
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.settings import PushNodeSettings
from imc_push_node.stream.archive import Archive
from imc_push_node.stream.hub import Hub
from imc_push_node.stream.log_reader import LogReader
from imc_push_node.stream.proof import NodeProof
from imc_push_node.stream.query_api import QueryApiClient
from imc_push_node.stream.recall_marks import RecallMarks


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
    subscriber = Subscriber(redis, metrics.subscriptions)
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
        takeover = Takeover(redis, hub)
        quotas = Quotas()
        await stack.enter_async_context(
            watched_file.in_force(quotas.read, settings.quotas, settings.quotas_file, metrics.quotas_stale)
        )
        gateway_quota = GatewayQuota(redis, quotas, metrics.gateway_quota_refusals)
        watch = Monitor(hub, takeover, subscriber, settings.stall_seconds)
        forwarder = Forwarder(CommandApiClient(post), metrics, limits)
        membership = Membership(redis, readiness, settings.advertise_url)
        drain = Drain(hub, forwarder, settings.drain_seconds)
        readiness.add("log", health.ready)
        readiness.add("pushes", proof.of_pushes)
        readiness.add("drain", drain.ready)
        for part in (subscriber, health, takeover, gateway_quota, watch, membership):
            await stack.enter_async_context(background.running(background.lasting(part.run)))
        tokens = TokenExpiry(gatekeeper, metrics.frames_refused)
        stack.callback(hub.close)
        stack.callback(forwarder.close)
        stack.callback(tokens.close)
        connections = Connections(
            hub,
            takeover,
            gateway_quota,
            forwarder,
            drain,
            tokens,
            metrics,
            settings.gateway_buffer_bytes,
            settings.max_bad_frames_per_minute,
        )
        yield PushNode(connections, drain, membership)
