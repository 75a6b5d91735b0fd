"""New apps keep to a quota, and apps that are gone are forgotten."""

import asyncio
from typing import Any

import pytest
from imc_command_api.handlers.ports import Appended, Write
from imc_command_api.identity.snowflake import Snowflakes
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.new_apps import NewApps
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.writer import LogWriter
from imc_command_api.projector.logs import FailedEntry, Logs, ProjectedStretch
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.events import Event, EventKind
from imc_contracts.policies import Policies
from imc_service.activity import Activity
from imc_service.redis.masters import Masters
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

HOUR_SECONDS = 3600


@pytest.fixture
def ids() -> Snowflakes:
    ids = Snowflakes()
    ids.lease(1, 0, 2**50)
    return ids


def make_writer(redis: Redis, per_hour: int = 0) -> LogWriter:
    masters, quota = Masters(redis), SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
    script = AppendScript(masters, Limits(1000, lambda: 60_000, 60_000), quota)
    return LogWriter(NewApps(masters, per_hour), script, LogMetrics(CollectorRegistry()), Activity(masters))


@pytest.fixture
def writer_on(log_redis: Redis) -> Any:
    """Makes writers, each as in a process of its own."""

    def writer_on(per_hour: int = 0) -> LogWriter:
        return make_writer(log_redis, per_hour)

    return writer_on


def write(ids: Snowflakes, kind: EventKind = EventKind.MESSAGE_SENT) -> Write:
    return Write(Event(kind, b"{}"), ids.next())


async def is_listed(redis: Any, app_id: str) -> bool:
    return await redis.zscore(names.apps(names.shard_of(app_id)), app_id) is not None


async def keys_of(redis: Any, app_id: str) -> list[bytes]:
    """The keys of an app that have no end of their own."""
    return [key async for key in redis.scan_iter(f"imc:*:{app_id}") if await redis.ttl(key) == -1]


async def test_new_apps_beyond_the_quota_are_refused(
    writer_on: Any, log_redis: Redis, ids: Snowflakes, app_id: str
):
    writer, other_process = writer_on(3), writer_on(3)
    for number in range(3):
        assert isinstance(await writer.append_one(f"{app_id}-{number}", write(ids)), Appended)
    for _ in range(2):
        with pytest.raises(Refused, match="quota of 3 new apps an hour") as refused:
            await other_process.append_one(f"{app_id}-late", write(ids))
        assert refused.value.code is ErrorCode.QUOTA_USED_UP
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= HOUR_SECONDS / 3
    assert await keys_of(log_redis, f"{app_id}-late") == []
    assert not await is_listed(log_redis, f"{app_id}-late")
    assert isinstance(await other_process.append_one(f"{app_id}-0", write(ids)), Appended)


async def test_an_app_that_was_known_begins_again_although_the_quota_is_used_up(
    writer_on: Any, log_redis: Redis, ids: Snowflakes, app_id: str
):
    writer = writer_on(1)
    await writer.append_one(app_id, write(ids))
    await log_redis.flushall()
    await writer.append_one(app_id, write(ids))
    assert await is_listed(log_redis, app_id)
    assert not await log_redis.exists(names.NEW_APPS)
    await writer.append_one(f"{app_id}-other", write(ids))
    with pytest.raises(Refused):
        await writer.append_one(f"{app_id}-late", write(ids))


async def test_the_quota_of_new_apps_comes_back_with_time(log_redis: Redis):
    new_apps = NewApps(Masters(log_redis), 2)
    await new_apps.take()
    await new_apps.take()
    # Half an hour later, which is what one app takes.
    full_at = int(await log_redis.get(names.NEW_APPS) or 0)
    await log_redis.set(names.NEW_APPS, full_at - HOUR_SECONDS * 500_000)
    await new_apps.take()
    with pytest.raises(Refused):
        await new_apps.take()


@pytest.mark.parametrize("per_hour", [0, 1])
async def test_what_takes_back_and_what_has_no_limit_is_never_refused(
    writer_on: Any, ids: Snowflakes, app_id: str, per_hour: int
):
    writer = writer_on(per_hour)
    kind = EventKind.MESSAGE_SENT if per_hour == 0 else EventKind.NOTICE_DELETED
    for number in range(3):
        assert isinstance(await writer.append_one(f"{app_id}-{number}", write(ids, kind)), Appended)


@pytest.fixture
def forgetting(logs: Logs, logs_of: Any) -> Logs:
    """The logs of a projector that keeps no app; `logs` has made it the owner of all shards."""
    return logs_of(keep_ms=0, keep_entries=1, keep_app_ms=0)


async def project(redis: Redis, logs: Logs, app_id: str) -> int:
    """Move the position to the end of the log, as if all were in the database; returns how far."""
    [stretch] = await logs.read(redis, [app_id], {})
    assert await logs.advance([ProjectedStretch(stretch, [])]) == [True]
    return len(stretch.entries)


async def forgotten(logs: Logs, app_id: str) -> bool:
    while True:
        removed, is_forgotten = await logs.tidy(app_id)
        if not removed:
            return is_forgotten


async def test_an_app_of_which_nothing_is_left_to_do_is_forgotten(
    writer_on: Any, log_redis: Redis, forgetting: Logs, ids: Snowflakes, app_id: str
):
    writer = writer_on()
    await writer.append(app_id, [write(ids) for _ in range(10)])
    await project(log_redis, forgetting, app_id)
    await log_redis.zadd(names.gateway_fence(app_id), {"": 1})
    assert await forgotten(forgetting, app_id)
    assert await keys_of(log_redis, app_id) == []
    assert not await is_listed(log_redis, app_id)
    # Its next send begins a new log, and it is in the list again.
    assert isinstance(await writer.append_one(app_id, write(ids)), Appended)
    assert await is_listed(log_redis, app_id)


async def not_projected(redis: Any, logs: Logs, app_id: str) -> None:
    await redis.xadd(names.log(app_id), {"k": "s", "v": "{}"})


async def a_gateway(redis: Any, logs: Logs, app_id: str) -> None:
    await redis.zadd(names.gateways(app_id), {"g": 1})


async def a_dead_letter(redis: Any, logs: Logs, app_id: str) -> None:
    await redis.xadd(names.log(app_id), {"k": "s", "v": "{}"})
    [stretch] = await logs.read(redis, [app_id], {})
    assert await logs.advance([ProjectedStretch(stretch, [FailedEntry(stretch.end, "data", "reason")])]) == [
        True
    ]


@pytest.mark.parametrize("reason", [not_projected, a_gateway, a_dead_letter])
async def test_an_app_with_something_left_is_kept(
    writer_on: Any, log_redis: Redis, forgetting: Logs, ids: Snowflakes, app_id: str, reason: Any
):
    await writer_on().append(app_id, [write(ids)])
    await project(log_redis, forgetting, app_id)
    await reason(log_redis, forgetting, app_id)
    assert not await forgotten(forgetting, app_id)
    assert await log_redis.exists(names.log(app_id), names.log_state(app_id)) == 2
    # It is looked at again, and not all the time.
    assert await is_listed(log_redis, app_id)
    assert await forgetting.due(range(names.SHARDS)) == []


async def test_an_app_is_kept_for_its_time(
    writer_on: Any, log_redis: Redis, logs: Logs, ids: Snowflakes, app_id: str
):
    await writer_on().append(app_id, [write(ids)])
    await project(log_redis, logs, app_id)
    assert not await forgotten(logs, app_id)
    assert await is_listed(log_redis, app_id)


async def test_a_send_at_the_moment_of_forgetting_is_never_lost(
    writer_on: Any, log_redis: Redis, forgetting: Logs, ids: Snowflakes, app_id: str
):
    writers = [writer_on() for _ in range(2)]
    times = 0
    for round_ in range(40):
        for writer in writers:  # each knows the app from before
            await writer.append_one(app_id, write(ids))
        await project(log_redis, forgetting, app_id)
        while (await forgetting.tidy(app_id))[0]:
            pass
        if not await log_redis.exists(names.log(app_id)):
            for writer in writers:
                await writer.append_one(app_id, write(ids))
            await project(log_redis, forgetting, app_id)
            await log_redis.xtrim(names.log(app_id), maxlen=1, approximate=False)
        some = [write(ids) for _ in range(4)]
        forgetting_twice = [forgotten(forgetting, app_id) for _ in range(2)]
        sending = [writers[at % 2].append_one(app_id, each) for at, each in enumerate(some)]
        both = [*sending[: round_ % 5], forgetting_twice[0], *sending[round_ % 5 :], forgetting_twice[1]]
        answers = await asyncio.gather(*both)
        times += answers.count(True)
        assert sum(isinstance(answer, Appended) for answer in answers) == 4
        assert await is_listed(log_redis, app_id)
        assert await project(log_redis, forgetting, app_id) == 4
    assert times > 0


async def test_a_projector_forgets_and_counts(
    writer_on: Any, log_redis: Redis, projecting: Any, feed_of: Any, history_of: Any, app_id: str
):
    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(3)]
    async with projecting() as registry:
        for feed in feeds:
            history = history_of(feed.app_id)
            await feed.append([history.sent(history.message())])
        for feed in feeds:
            await feed.projected()
            # A day goes by: its newest entry is old, and upkeep is due.
            await log_redis.xtrim(names.log(feed.app_id), maxlen=0, approximate=False)
            await log_redis.hset(  # pyright: ignore[reportGeneralTypeIssues]
                names.log_state(feed.app_id), mapping={"last": "1-0", "projected": "1-0"}
            )
            await log_redis.zadd(names.apps(names.shard_of(feed.app_id)), {feed.app_id: 0})
        await wait_until(lambda: registry.get_sample_value("imc_projector_forgotten_apps_total") == 3)
        for feed in feeds:
            assert await keys_of(log_redis, feed.app_id) == []
            # Its next entry is found as that of any app that is new.
            history = history_of(feed.app_id)
            await feed.append([history.sent(history.message())])
            await feed.projected()
