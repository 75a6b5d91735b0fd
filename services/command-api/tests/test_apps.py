"""The list of apps: it grows within its quota, and apps that are gone leave it."""

import asyncio
from typing import Any

import pytest
from imc_command_api.handlers.ports import Appended, Write
from imc_command_api.identity.snowflake import Snowflakes
from imc_command_api.log.apps import AppList
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.writer import LogWriter
from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.reader import LogReader
from imc_command_api.projector.upkeep import Retention, Upkeep
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.events import Event, EventKind
from imc_contracts.quotas import Quotas
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

HOUR_SECONDS = 3600


@pytest.fixture
def ids() -> Snowflakes:
    ids = Snowflakes()
    ids.lease(1, 0, 2**50)
    return ids


def writer_on(redis: Redis, apps: AppList) -> LogWriter:
    quota = SendQuota(Quotas(), SendQuotaMetrics(CollectorRegistry()))
    script = AppendScript(redis, Limits(1000, 60_000, 60_000), quota)
    return LogWriter(apps, script, LogMetrics(CollectorRegistry()))


def write(ids: Snowflakes, kind: EventKind = EventKind.MESSAGE_SENT) -> Write:
    return Write(Event(kind, b"{}"), ids.next())


async def is_listed(redis: Any, app_id: str) -> bool:
    return bool(await redis.sismember(names.APPS, app_id))


async def keys_of(redis: Any, app_id: str) -> list[bytes]:
    """The keys of an app that have no end of their own."""
    return [key async for key in redis.scan_iter(f"imc:{{{app_id}}}:*") if await redis.ttl(key) == -1]


async def test_new_apps_beyond_the_quota_are_refused(log_redis: Redis, ids: Snowflakes, app_id: str):
    writer = writer_on(log_redis, AppList(log_redis, 3))
    for number in range(3):
        assert isinstance(await writer.append_one(f"{app_id}-{number}", write(ids)), Appended)
    other_process = writer_on(log_redis, AppList(log_redis, 3))
    for _ in range(2):
        with pytest.raises(Refused, match="quota of 3 new apps an hour") as refused:
            await other_process.append_one(f"{app_id}-late", write(ids))
        assert refused.value.code is ErrorCode.QUOTA_USED_UP
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= HOUR_SECONDS / 3
    assert await keys_of(log_redis, f"{app_id}-late") == []
    assert not await is_listed(log_redis, f"{app_id}-late")
    assert isinstance(await other_process.append_one(f"{app_id}-0", write(ids)), Appended)


async def test_the_quota_of_new_apps_comes_back_with_time(log_redis: Redis, app_id: str):
    apps = AppList(log_redis, 2)
    await apps.add(f"{app_id}-0", is_limited=True)
    await apps.add(f"{app_id}-1", is_limited=True)
    # Half an hour later, which is what one app takes.
    full_at = int(await log_redis.get(names.NEW_APPS) or 0)
    await log_redis.set(names.NEW_APPS, full_at - HOUR_SECONDS * 500_000)
    await apps.add(f"{app_id}-2", is_limited=True)
    with pytest.raises(Refused):
        await apps.add(f"{app_id}-3", is_limited=True)


@pytest.mark.parametrize("per_hour", [0, 1])
async def test_what_takes_back_and_what_has_no_limit_is_never_refused(
    log_redis: Redis, ids: Snowflakes, app_id: str, per_hour: int
):
    writer = writer_on(log_redis, AppList(log_redis, per_hour))
    kind = EventKind.MESSAGE_SENT if per_hour == 0 else EventKind.NOTICE_DELETED
    for number in range(3):
        assert isinstance(await writer.append_one(f"{app_id}-{number}", write(ids, kind)), Appended)


async def project(redis: Redis, group: LogGroup) -> LogReader:
    """Acknowledge whatever is in the logs, as if it were in the database."""
    reader = LogReader(redis, redis, "one", 60_000)
    ids_by_app: dict[str, list[bytes]] = {}
    for delivery in await reader.read():
        ids_by_app.setdefault(delivery.app_id, []).append(delivery.entry_id)
    await group.acknowledge(ids_by_app, {})
    for app_id in ids_by_app:
        while await group.trim(app_id, 0, 1):
            pass
    return reader


async def test_an_app_of_which_nothing_is_left_to_do_is_forgotten(
    log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str
):
    writer = writer_on(log_redis, AppList(log_redis))
    await writer.append(app_id, [write(ids) for _ in range(10)])
    await project(log_redis, log_group)
    assert await log_group.forget_app(app_id, 0, may_be_empty=False)
    assert await keys_of(log_redis, app_id) == []
    assert not await is_listed(log_redis, app_id)
    # Its next send begins a new log, and it is in the list again.
    assert isinstance(await writer.append_one(app_id, write(ids)), Appended)
    assert await is_listed(log_redis, app_id)


async def not_delivered(redis: Any, group: LogGroup, app_id: str, write: Write) -> None:
    await redis.xadd(names.log(app_id), {"k": "s", "v": "{}"})


async def not_acknowledged(redis: Any, group: LogGroup, app_id: str, write: Write) -> None:
    await redis.xadd(names.log(app_id), {"k": "s", "v": "{}"})
    await LogReader(redis, redis, "two", 60_000).read()


async def a_gateway(redis: Any, group: LogGroup, app_id: str, write: Write) -> None:
    await redis.zadd(names.gateways(app_id), {"g": 1})


async def a_dead_letter(redis: Any, group: LogGroup, app_id: str, write: Write) -> None:
    await not_acknowledged(redis, group, app_id, write)
    [entry] = await redis.xrevrange(names.log(app_id), count=1)
    assert await group.dead_letter(app_id, entry[0], "reason")
    await project(redis, group)


@pytest.mark.parametrize("reason", [not_delivered, not_acknowledged, a_gateway, a_dead_letter])
async def test_an_app_with_something_left_is_kept(
    log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str, reason: Any
):
    await writer_on(log_redis, AppList(log_redis)).append(app_id, [write(ids)])
    await project(log_redis, log_group)
    await reason(log_redis, log_group, app_id, write(ids))
    assert not await log_group.forget_app(app_id, 0, may_be_empty=True)
    assert await log_redis.exists(names.log(app_id), names.log_state(app_id)) == 2
    assert await is_listed(log_redis, app_id)


async def test_an_app_is_kept_for_its_time(
    log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str
):
    await writer_on(log_redis, AppList(log_redis)).append(app_id, [write(ids)])
    await project(log_redis, log_group)
    assert not await log_group.forget_app(app_id, HOUR_SECONDS * 1000, may_be_empty=True)
    await AppList(log_redis).add(f"{app_id}-empty", is_limited=True)
    assert not await log_group.forget_app(f"{app_id}-empty", 0, may_be_empty=False)
    assert await log_group.forget_app(f"{app_id}-empty", 0, may_be_empty=True)
    assert not await is_listed(log_redis, f"{app_id}-empty")


async def test_a_send_at_the_moment_of_forgetting_is_never_lost(
    log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str
):
    writers = [writer_on(log_redis, AppList(log_redis)) for _ in range(2)]
    forgotten = 0
    for round_ in range(40):
        for writer in writers:  # each knows the app from before
            await writer.append_one(app_id, write(ids))
        await project(log_redis, log_group)
        some = [write(ids) for _ in range(4)]
        forgetting = [log_group.forget_app(app_id, 0, may_be_empty=True) for _ in range(2)]
        sending = [writers[at % 2].append_one(app_id, each) for at, each in enumerate(some)]
        both = [*sending[: round_ % 5], forgetting[0], *sending[round_ % 5 :], forgetting[1]]
        answers = await asyncio.gather(*both)
        forgotten += answers.count(True)
        assert sum(isinstance(answer, Appended) for answer in answers) == 4
        assert await is_listed(log_redis, app_id)
        delivered = await LogReader(log_redis, log_redis, "one", 60_000).read()
        assert len(delivered) == 4
        await log_group.acknowledge({app_id: [each.entry_id for each in delivered]}, {})
    assert forgotten > 0


async def test_other_projectors_leave_a_forgotten_app_too_and_find_it_again(
    log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str
):
    writer = writer_on(log_redis, AppList(log_redis))
    await writer.append_one(app_id, write(ids))
    await writer.append_one(f"{app_id}-other", write(ids))
    other = await project(log_redis, log_group)
    assert set(other.app_ids) == {app_id, f"{app_id}-other"}
    assert await log_group.forget_app(app_id, 0, may_be_empty=False)
    while app_id in other.app_ids:
        await other.read()
    assert await log_redis.exists(names.log(app_id)) == 0
    await writer.append_one(app_id, write(ids))
    while not (found := await other.read()):
        pass
    assert [delivery.app_id for delivery in found] == [app_id]


async def test_upkeep_forgets_and_counts(log_redis: Redis, log_group: LogGroup, ids: Snowflakes, app_id: str):
    writer = writer_on(log_redis, AppList(log_redis))
    for number in range(3):
        await writer.append_one(f"{app_id}-{number}", write(ids))
    reader = await project(log_redis, log_group)
    registry = CollectorRegistry()
    await Upkeep(log_group, reader, Retention(0, 1, 0), ProjectorMetrics(registry)).tidy()
    assert registry.get_sample_value("imc_projector_forgotten_apps_total") == 3
    assert reader.app_ids == []
    assert await log_redis.exists(names.APPS) == 0
