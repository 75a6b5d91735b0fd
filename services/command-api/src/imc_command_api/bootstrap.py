"""The composition root of command-api: only this module knows the adapters."""

import contextlib
from collections.abc import AsyncGenerator
from functools import partial

from imc_contracts.policies import Policies
from imc_service import background
from imc_service.activity import Activity, Kind
from imc_service.app_metrics import count_by_app
from imc_service.database.database import Database, open_database
from imc_service.health import Readiness
from imc_service.http.bodies import BodyRoom
from imc_service.redis import masters as redis_masters
from imc_service.redis.health import RedisHealth
from imc_service.redis.masters import Masters
from imc_service.tracing.tracing import Tracing
from prometheus_client import CollectorRegistry

from imc_command_api.dead_letters.letters import DeadLetters
from imc_command_api.dead_letters.pages import LetterPages
from imc_command_api.handlers.delete_notice import DeleteNoticeHandler
from imc_command_api.handlers.erase import EraseHandler
from imc_command_api.handlers.publish_notice import PublishNoticeHandler
from imc_command_api.handlers.recall_message import RecallMessageHandler
from imc_command_api.handlers.send_messages import SendMessages
from imc_command_api.http.state import SINGLE_BODY_BYTES, CommandApi, Operations
from imc_command_api.identity.snowflake import Snowflakes, wall_clock_ms
from imc_command_api.identity.worker_lease import worker_lease
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.new_apps import NewApps
from imc_command_api.log.proof import WorkProof
from imc_command_api.log.recall_windows import RecallWindows
from imc_command_api.log.recent import RecentEntries
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.shard_count import ShardCount
from imc_command_api.log.writer import LogWriter
from imc_command_api.operations.activity import ActivityReader
from imc_command_api.operations.apps import Apps
from imc_command_api.operations.erasures import ErasureReports
from imc_command_api.operations.installation import InstallationReader
from imc_command_api.quota.counted_admission import CountedAdmission
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_command_api.settings import CommandApiSettings
from imc_command_api.store.lookup import LogAndDatabaseLookup
from imc_command_api.store.projection import Projection
from imc_command_api.store.write_through import ProjectionWriteThrough


@contextlib.asynccontextmanager
async def open_command_api(
    settings: CommandApiSettings,
    readiness: Readiness,
    registry: CollectorRegistry,
    policies: Policies,
    version: str,
    tracing: Tracing | None = None,
) -> AsyncGenerator[CommandApi]:
    """Open what command-api works with. It recovers by itself if Redis or the database come later.

    ``version`` is what operators are told. ``tracing`` makes spans of appends.
    """
    masters = redis_masters.connect(settings.redis_url.get_secret_value())
    ids = Snowflakes()
    windows = RecallWindows(policies, settings.recall_window_seconds * 1000)
    database_url, activity = settings.database_url.get_secret_value(), Activity(masters)
    count_by_app(activity, registry, settings.metrics_by_app, Kind.SENDS, Kind.REFUSED)
    health = _health(masters, registry, settings.ack_replicas)
    async with (
        contextlib.aclosing(masters),
        open_database(database_url, size=settings.database_pool) as database,
        worker_lease(masters, ids) as lease,
        background.running(background.lasting(health.run)),
        background.running(background.lasting(activity.run)),
    ):
        quota = SendQuota(policies, SendQuotaMetrics(registry))
        writer = LogWriter(
            NewApps(masters, settings.new_apps_per_hour),
            AppendScript(masters, _limits(settings, windows), quota, settings.ack_replicas),
            LogMetrics(registry),
            activity,
            tracing,
        )
        admission = CountedAdmission(quota, activity)
        lookup = LogAndDatabaseLookup(RecentEntries(masters), database)
        projection = Projection(database)
        write_through = ProjectionWriteThrough(projection)
        installation = InstallationReader(version, masters, health, database)
        readiness.add("log", health.ready)
        readiness.add("shards", ShardCount(masters).ready)
        readiness.add("ids", lease.ready)
        readiness.add("write-through", projection.trouble)
        try:
            yield CommandApi(
                SendMessages(writer, ids, admission),
                RecallMessageHandler(writer, lookup, write_through, wall_clock_ms, windows.of),
                PublishNoticeHandler(writer, ids, admission, write_through),
                DeleteNoticeHandler(writer, lookup, write_through, wall_clock_ms),
                EraseHandler(writer, ids),
                settings.max_body_bytes,
                min(settings.max_body_bytes, SINGLE_BODY_BYTES),
                BodyRoom(settings.max_unfinished_body_bytes),
                _operations(masters, policies, projection, database, installation),
            )
        finally:
            await writer.close()


def _health(masters: Masters, registry: CollectorRegistry, ack_replicas: int) -> RedisHealth:
    prove = partial(WorkProof(masters).of_command_api, ack_replicas=ack_replicas)
    return RedisHealth(masters, prove, registry, "command_api", ack_replicas)


def _limits(settings: CommandApiSettings, windows: RecallWindows) -> Limits:
    return Limits(
        backlog=settings.backlog_limit,
        keep_recent_ms=windows.keep_recent_ms,
        keep_sent_ms=settings.idempotency_seconds * 1000,
    )


def _operations(
    masters: Masters,
    policies: Policies,
    projection: Projection,
    database: Database,
    installation: InstallationReader,
) -> Operations:
    """What operators read and mend."""
    activity = ActivityReader(masters)
    letters = LetterPages(masters, DeadLetters(masters, projection))
    erasures = ErasureReports(database)
    return Operations(activity, Apps(masters, activity, policies), erasures, installation, letters)
