"""The composition root of command-api: only this module knows the adapters."""

import contextlib
from collections.abc import AsyncGenerator

from imc_contracts.quotas import Quotas
from imc_service import background, watched_file
from imc_service.database.database import open_database
from imc_service.health import Readiness
from imc_service.http.bodies import BodyRoom
from imc_service.redis import client as redis_client
from imc_service.redis.health import RedisHealth
from prometheus_client import CollectorRegistry

from imc_command_api.handlers.delete_notice import DeleteNoticeHandler
from imc_command_api.handlers.publish_notice import PublishNoticeHandler
from imc_command_api.handlers.recall_message import RecallMessageHandler
from imc_command_api.handlers.send_messages import SendMessages
from imc_command_api.http.state import CommandApi
from imc_command_api.identity.snowflake import Snowflakes, wall_clock_ms
from imc_command_api.identity.worker_lease import worker_lease
from imc_command_api.log.apps import AppList
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.proof import WorkProof
from imc_command_api.log.recent import RecentEntries
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.writer import LogWriter
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_command_api.settings import CommandApiSettings
from imc_command_api.store.lookup import LogAndDatabaseLookup
from imc_command_api.store.projection import Projection
from imc_command_api.store.write_through import ProjectionWriteThrough

RECENT_MARGIN_MS = 120_000
"""Recent entries are kept for this beyond the recall window, so that the last recall finds its message."""


@contextlib.asynccontextmanager
async def open_command_api(
    settings: CommandApiSettings, readiness: Readiness, registry: CollectorRegistry
) -> AsyncGenerator[CommandApi]:
    """Open what command-api works with. It recovers by itself if Redis or the database come later."""
    redis = redis_client.connect(settings.redis_url.get_secret_value())
    ids = Snowflakes()
    window_ms = settings.recall_window_seconds * 1000
    limits = Limits(
        backlog=settings.backlog_limit,
        keep_recent_ms=window_ms + RECENT_MARGIN_MS,
        keep_sent_ms=settings.idempotency_seconds * 1000,
    )
    database_url = settings.database_url.get_secret_value()
    quota_metrics, quotas = SendQuotaMetrics(registry), Quotas()
    health = RedisHealth(redis, WorkProof(redis).of_command_api, registry, "command_api")
    async with (
        contextlib.aclosing(redis),
        watched_file.in_force(quotas.read, settings.quotas, settings.quotas_file, quota_metrics.stale),
        open_database(database_url, size=settings.database_pool) as database,
        worker_lease(redis, ids) as lease,
        background.running(background.lasting(health.run)),
    ):
        quota = SendQuota(quotas, quota_metrics)
        writer = LogWriter(
            AppList(redis, settings.new_apps_per_hour),
            AppendScript(redis, limits, quota),
            LogMetrics(registry),
        )
        lookup = LogAndDatabaseLookup(RecentEntries(redis), database)
        projection = Projection(database)
        write_through = ProjectionWriteThrough(projection)
        readiness.add("log", health.ready)
        readiness.add("ids", lease.ready)
        readiness.add("write-through", projection.trouble)
        try:
            yield CommandApi(
                SendMessages(writer, ids, quota),
                RecallMessageHandler(writer, lookup, write_through, wall_clock_ms, window_ms),
                PublishNoticeHandler(writer, ids, quota, write_through),
                DeleteNoticeHandler(writer, lookup, write_through, wall_clock_ms),
                settings.max_body_bytes,
                BodyRoom(settings.max_unfinished_body_bytes),
            )
        finally:
            await writer.close()
