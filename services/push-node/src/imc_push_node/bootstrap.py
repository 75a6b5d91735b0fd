"""The composition root of push-node: the only place that knows which parts are real."""

import contextlib
from collections.abc import AsyncGenerator

import httpx
from imc_contracts.policies import Policies
from imc_contracts.scopes import Scope
from imc_service import background
from imc_service.activity import Activity, Kind
from imc_service.app_metrics import count_by_app
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.service_tokens import QUERY_API
from imc_service.health import Readiness
from imc_service.http.bodies import BodyRoom
from imc_service.presence import Identity
from imc_service.redis import masters as redis_masters
from imc_service.redis.health import RedisHealth
from imc_service.tracing.tracing import Tracing
from prometheus_client import CollectorRegistry

from imc_push_node.cluster.admission import Admission
from imc_push_node.cluster.disconnects import Disconnects
from imc_push_node.cluster.drain import Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.membership import Membership
from imc_push_node.cluster.monitor import Monitor
from imc_push_node.cluster.proof import NodeProof
from imc_push_node.cluster.roster import Roster
from imc_push_node.cluster.roster_pages import RosterPages
from imc_push_node.cluster.stuck_gateways import StuckGateways
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.forwarding.command_api import CommandApiClient
from imc_push_node.forwarding.forwarder import Forwarder, Limits
from imc_push_node.forwarding.posting import posting, posting_within
from imc_push_node.forwarding.service_client import service_client
from imc_push_node.gateway.changed_gateways import ChangedGateways
from imc_push_node.gateway.keepalive import Keepalive
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.http.connection import Connections
from imc_push_node.http.state import PushNode
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.settings import PushNodeSettings
from imc_push_node.stream.archive import Archive
from imc_push_node.stream.hub import Hub
from imc_push_node.stream.listed_gateways import GroupRoom
from imc_push_node.stream.log_reader import LogReader
from imc_push_node.stream.query_api import QueryApiClient
from imc_push_node.stream.recall_marks import RecallMarks

MOST_BODY_BYTES = 1_048_576
"""Bytes of bodies that are being read. Gateways send frames, only operators send bodies."""


@contextlib.asynccontextmanager
async def open_push_node(
    settings: PushNodeSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    gatekeeper: Gatekeeper,
    policies: Policies,
    identity: Identity,
    client: httpx.AsyncClient | None = None,
    keepalive: Keepalive | None = None,
    tracing: Tracing | None = None,
) -> AsyncGenerator[PushNode]:
    """Open what push-node works with; it heals by itself when Redis or the other services come later.

    ``identity`` is that under which the process is announced.
    ``client`` calls command-api and query-api, both at its base URL; our own are made if none is given.
    ``keepalive`` pings event streams. ``tracing`` makes spans of pushes, and of what gateways send.
    """
    masters = redis_masters.connect(settings.redis_url.get_secret_value())
    metrics = NodeMetrics(registry)
    subscriber = Subscriber(masters, metrics.subscriptions)
    reader = LogReader(masters, metrics.skipped)
    proof = NodeProof(masters, subscriber)
    health = RedisHealth(masters, proof.of_commands, registry, "push_node")
    limits = Limits(settings.forward_gateway_bytes, settings.forward_node_bytes, settings.forward_seconds)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(contextlib.aclosing(masters))
        query_api = await _query_api(settings, client, stack)
        archive = query_api and Archive(QueryApiClient(query_api), RecallMarks(masters, metrics.skipped))
        post = posting_within(client) if client else await stack.enter_async_context(posting(settings))
        changed, pages, activity = ChangedGateways(), RosterPages(masters), Activity(masters)
        count_by_app(activity, registry, settings.metrics_by_app, Kind.PUSHES)
        disconnects = Disconnects(masters, pages, identity.id)
        hub = Hub(
            reader,
            subscriber,
            metrics,
            settings.linger_seconds,
            changed,
            activity,
            disconnects.answer,
            archive,
            GroupRoom(settings.listed_node_groups, metrics.groups),
            tracing,
        )
        roster = Roster(masters, hub, changed, identity.id, identity.address)
        takeover = Takeover(masters, hub)
        gateway_quota = GatewayQuota(masters, policies, metrics.gateway_quota_refusals)
        monitor = Monitor(hub, takeover, subscriber, settings.stall_seconds)
        forwarder = Forwarder(CommandApiClient(post), metrics, limits, changed, tracing)
        membership = Membership(masters, readiness, settings.own_address)
        drain = Drain(hub, forwarder, settings.drain_seconds)
        _add_checks(readiness, health, proof)
        admission = Admission(policies, gatekeeper, hub)
        parts = (subscriber, health, takeover, gateway_quota, monitor, membership, admission, roster)
        for part in (*parts, disconnects, activity):
            await stack.enter_async_context(background.running(background.lasting(part.run)))
        tokens, stuck = TokenExpiry(gatekeeper, metrics.frames_refused), StuckGateways()
        for closing in (hub, forwarder, tokens, stuck):
            stack.callback(closing.close)
        bounds = settings.gateway_buffer_bytes, settings.max_bad_frames_per_minute
        connections = Connections(
            hub, takeover, admission, gateway_quota, forwarder, drain, tokens, stuck, metrics, *bounds
        )
        room = BodyRoom(MOST_BODY_BYTES)
        yield PushNode(connections, drain, membership, pages, disconnects, room, keepalive or Keepalive())


async def _query_api(
    settings: PushNodeSettings, client: httpx.AsyncClient | None, stack: contextlib.AsyncExitStack
) -> httpx.AsyncClient | None:
    """A client of query-api, if it is known where that is: ``client``, or one of our own."""
    if settings.query_api_url is None or client is not None:
        return None if settings.query_api_url is None else client
    own = service_client(settings, settings.query_api_url, QUERY_API, Scope.INTERNAL)
    return await stack.enter_async_context(own)


def _add_checks(readiness: Readiness, health: RedisHealth, proof: NodeProof) -> None:
    readiness.add("log", health.ready)
    readiness.add("shards", proof.of_shards)
    readiness.add("pushes", proof.of_pushes)
