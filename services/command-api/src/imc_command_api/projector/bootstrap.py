"""The composition root of the projector: only this module knows the adapters."""

import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator

from imc_service import background
from imc_service.database.database import open_database
from imc_service.health import Readiness
from imc_service.redis import client as redis_client
from imc_service.redis.health import RedisHealth
from prometheus_client import CollectorRegistry

from imc_command_api.log.proof import WorkProof
from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.projector import Projector
from imc_command_api.projector.reader import LogReader
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.projector.upkeep import Retention, Upkeep
from imc_command_api.projector.writer import BatchWriter
from imc_command_api.store.projection import Projection

_CONNECTIONS = 4
"""To the database: for the batches, for single entries in quarantine, for the readiness check."""


@contextlib.asynccontextmanager
async def open_projector(
    settings: ProjectorSettings, readiness: Readiness, registry: CollectorRegistry
) -> AsyncGenerator[Projector]:
    """Run a projector in the background. It recovers by itself if Redis or the database come later."""
    redis_url = settings.redis_url.get_secret_value()
    redis, blocking = redis_client.connect(redis_url), redis_client.connect_blocking(redis_url)
    # Unique among all processes and all times, so that the unfinished entries of each can be told apart.
    consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    database_url = settings.database_url.get_secret_value()
    async with (
        contextlib.aclosing(redis),
        contextlib.aclosing(blocking),
        open_database(database_url, size=_CONNECTIONS) as database,
    ):
        metrics = ProjectorMetrics(registry)
        group = LogGroup(redis)
        reader = LogReader(redis, blocking, consumer, int(settings.claim_idle_seconds * 1000))
        projection = Projection(database)
        writer = BatchWriter(projection, group, metrics)
        retention = Retention(
            settings.log_retention_seconds * 1000,
            settings.log_retention_entries,
            settings.app_retention_seconds * 1000,
        )
        upkeep = Upkeep(group, reader, retention, metrics)
        projector = Projector(reader, writer, group, upkeep, metrics, settings.claim_idle_seconds)
        health = RedisHealth(redis, WorkProof(redis).of_projector, registry, "projector")
        readiness.add("projector's log", health.ready)
        readiness.add("projector's reading", projector.reading.reason)
        readiness.add("projector's database", projection.trouble)
        async with background.running(background.lasting(health.run)), projector.running():
            yield projector
