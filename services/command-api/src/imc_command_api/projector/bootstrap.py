"""The composition root of the projector: only this module knows the adapters."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator
from functools import partial

from imc_contracts.policies import Policies
from imc_service import background
from imc_service.activity import Backlog
from imc_service.database.database import Database, open_database
from imc_service.health import Readiness
from imc_service.redis import masters as redis_masters
from imc_service.redis.health import RedisHealth
from imc_service.redis.masters import Masters
from imc_service.tracing.tracing import Tracing
from prometheus_client import CollectorRegistry

from imc_command_api.erasure.eraser import Eraser
from imc_command_api.erasure.metrics import ErasureMetrics
from imc_command_api.erasure.streams import StreamEraser
from imc_command_api.log.proof import WorkProof
from imc_command_api.log.shard_count import ShardCount
from imc_command_api.projector.logs import Logs, Retention
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.ownership import Ownership
from imc_command_api.projector.projector import Projector
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.projector.sweep import Sweeper
from imc_command_api.projector.worker import Worker
from imc_command_api.projector.writer import StretchWriter
from imc_command_api.store.due_rows import DueRows
from imc_command_api.store.erasures import Erasures
from imc_command_api.store.heartbeat import Heartbeat
from imc_command_api.store.projection import Projection
from imc_command_api.store.removal import Removal

_CONNECTIONS = 8
"""To the database: for the batches of each master, entries in quarantine, the readiness check, sweeps."""


@contextlib.asynccontextmanager
async def open_projector(
    settings: ProjectorSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    policies: Policies,
    tracing: Tracing | None = None,
    *,
    is_alone: bool = False,
) -> AsyncGenerator[Projector]:
    """Run a projector in the background. It recovers by itself if Redis or the database come later.

    ``tracing`` makes spans of rows.
    ``is_alone``: no other projector can be at work, so that this one does not wait for the end of its lease.
    """
    masters = redis_masters.connect(settings.redis_url.get_secret_value())
    # Unique among all processes and all times: by it a shard's owner is known from all that owned it before.
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    database_url = settings.database_url.get_secret_value()
    async with (
        contextlib.aclosing(masters),
        open_database(database_url, size=_CONNECTIONS) as database,
    ):
        metrics = ProjectorMetrics(registry)
        logs = Logs(masters, name, _retention(settings), settings.ack_replicas)
        projection = Projection(database)
        writer = StretchWriter(projection, metrics, tracing)
        eraser_on_master = partial(
            Eraser,
            Erasures(database, Removal(database)),
            StreamEraser(masters, settings.ack_replicas),
            ErasureMetrics(registry),
        )
        ownership = Ownership(masters, name, is_alone=is_alone)
        backlog = Backlog(masters, name)
        projector = Projector(
            masters,
            ownership,
            lambda redis: Worker(redis, logs, writer, metrics, eraser_on_master()),
            metrics,
            backlog,
        )
        sweeper = _sweeper(settings, masters, database, policies, ownership, metrics)
        health = _health(masters, registry, settings.ack_replicas)
        readiness.add("projector's log", health.ready)
        readiness.add("projector's shards", ShardCount(masters).ready)
        readiness.add("projector's reading", projector.reading)
        readiness.add("projector's database", projection.trouble)
        readiness.warn("retention", sweeper.trouble)
        async with contextlib.AsyncExitStack() as stack:
            for part in (health, backlog, sweeper):
                await stack.enter_async_context(background.running(background.lasting(part.run)))
            if not database.is_sqlite:  # a file has no replica that could be behind
                beating = background.lasting(Heartbeat(database).keep_beating)
                await stack.enter_async_context(background.running(beating))
            await stack.enter_async_context(projector.running())
            yield projector


def _health(masters: Masters, registry: CollectorRegistry, ack_replicas: int) -> RedisHealth:
    prove = partial(WorkProof(masters).of_projector, ack_replicas=ack_replicas)
    return RedisHealth(masters, prove, registry, "projector", ack_replicas)


def _retention(settings: ProjectorSettings) -> Retention:
    return Retention(
        settings.log_retention_seconds * 1000,
        settings.log_retention_entries,
        settings.app_retention_seconds * 1000,
    )


def _sweeper(
    settings: ProjectorSettings,
    masters: Masters,
    database: Database,
    policies: Policies,
    ownership: Ownership,
    metrics: ProjectorMetrics,
) -> Sweeper:
    """What removes the rows that policies do not keep."""
    return Sweeper(
        masters,
        DueRows(database),
        Removal(database),
        policies,
        lambda: ownership.shards,
        metrics,
        every_seconds=settings.sweep_seconds,
        share=settings.sweep_share,
        log_retention_ms=settings.log_retention_seconds * 1000,
    )
