"""The log's writer, on a real Redis: order, atomicity, idempotency, limits."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import AlreadyRetired, Appended, Recall, Repeated, Sending, Write
from imc_command_api.identity.snowflake import Snowflakes
from imc_command_api.log.apps import AppList
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.recent import RecentEntries, Retired
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.writer import LogWriter
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import ORIGIN
from imc_contracts.errors import Refused
from imc_contracts.events import Event, EventKind, RecallMark, read_entry, read_live_batch
from imc_contracts.quotas import Quotas
from imc_service.redis import client as redis_client
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

LIMITS = Limits(backlog=1000, keep_recent_ms=60_000, keep_sent_ms=60_000)


@pytest.fixture
def ids() -> Snowflakes:
    ids = Snowflakes()
    ids.lease(1, 0, 2**50)
    return ids


def writer_on(redis: Any, limits: Limits = LIMITS) -> LogWriter:
    quota = SendQuota(Quotas(), SendQuotaMetrics(CollectorRegistry()))
    return LogWriter(AppList(redis), AppendScript(redis, limits, quota), LogMetrics(CollectorRegistry()))


@pytest.fixture
async def writer(redis: Any) -> AsyncGenerator[LogWriter]:
    writer = writer_on(redis)
    yield writer
    await writer.close()


def message(ids: Snowflakes, client_message_id: str | None = None, digest: str = "d") -> Write:
    id_ = ids.next()
    sending = Sending(client_message_id, id_, time_of(id_), digest) if client_message_id else None
    return Write(Event(EventKind.MESSAGE_SENT, b'{"n":%d}' % id_), id_, sending)


def recall_of(write: Write) -> Write:
    mark = RecallMark(str(write.id), 5, "why")
    event = Event(EventKind.MESSAGE_RECALLED, b'{"r":%d}' % write.id)
    return Write(event, write.id, recall=Recall(time_of(write.id), mark))


async def log_of(redis: Any, app_id: str) -> list[tuple[str, bytes, bytes]]:
    entries = [read_entry(id_, fields) for id_, fields in await redis.xrange(names.log(app_id))]
    return [(str(entry.id), entry.kind.value, entry.body) for entry in entries]


async def test_what_is_appended_is_published_once_and_chained(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    async with redis.pubsub() as subscriber:
        await subscriber.subscribe(names.live(app_id, 0))
        confirmed = await subscriber.get_message(timeout=60)
        assert confirmed is not None
        await asyncio.gather(*(writer.append(app_id, [message(ids)]) for _ in range(200)))
        published, prev = [], ORIGIN
        while len(published) < 200:
            received = await subscriber.get_message(timeout=60)
            assert received is not None
            batch = read_live_batch(received["data"])
            assert batch.prev == prev
            prev = batch.entries[-1].id
            published += [(str(entry.id), entry.kind.value, entry.body) for entry in batch.entries]
    assert published == await log_of(redis, app_id)
    state = await redis.hgetall(names.log_state(app_id))
    assert state[b"appended"] == b"200"
    assert state[b"last"].decode() == published[-1][0]
    assert state[b"born"].decode() == published[0][0]
    assert await redis.sismember(names.APPS, app_id)


async def test_callers_that_wait_together_share_a_batch_and_keep_their_order(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    writes = [message(ids) for _ in range(50)]
    answers = await asyncio.gather(*(writer.append(app_id, [write]) for write in writes))
    assert [body for _, _, body in await log_of(redis, app_id)] == [write.event.body for write in writes]
    cursors = [answer[0].cursor for answer in answers if isinstance(answer[0], Appended)]
    assert [str(cursor.entry) for cursor in cursors] == [id_ for id_, _, _ in await log_of(redis, app_id)]


async def test_a_client_message_id_is_appended_once(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    first, again, twice = message(ids, "c"), message(ids, "c"), message(ids, "d")
    answers = [
        *await writer.append(app_id, [first]),
        *await writer.append(app_id, [again, twice, twice]),
    ]
    assert [type(answer) for answer in answers] == [Appended, Repeated, Appended, Repeated]
    assert isinstance(answers[0], Appended)
    assert isinstance(answers[1], Repeated)
    assert answers[1].original == first.sending
    assert answers[1].cursor == answers[0].cursor
    assert len(await log_of(redis, app_id)) == 2


async def test_a_client_message_id_is_an_apps_own(writer: LogWriter, ids: Snowflakes, app_id: str):
    assert isinstance(await writer.append_one(app_id, message(ids, "c")), Appended)
    assert isinstance(await writer.append_one(app_id + "2", message(ids, "c")), Appended)


async def test_an_id_is_retired_once(redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str):
    sent = message(ids)
    await writer.append_one(app_id, sent)
    answers = await asyncio.gather(*(writer.append_one(app_id, recall_of(sent)) for _ in range(20)))
    assert sorted(type(answer).__name__ for answer in answers) == ["AlreadyRetired"] * 19 + ["Appended"]
    assert isinstance(await writer.append_one(app_id, recall_of(sent)), AlreadyRetired)
    assert len(await log_of(redis, app_id)) == 2
    marks = await redis.zrange(names.recalled(app_id), 0, -1, withscores=True)
    assert [(RecallMark.read(member), score) for member, score in marks] == [
        (RecallMark(str(sent.id), 5, "why"), time_of(sent.id))
    ]


async def test_a_full_backlog_refuses_all_and_leaves_nothing(redis: Any, ids: Snowflakes, app_id: str):
    writer = writer_on(redis, Limits(3, 60_000, 60_000))
    await writer.append(app_id, [message(ids) for _ in range(3)])
    answer = (await writer.append(app_id, [message(ids, "late")]))[0]
    assert isinstance(answer, Refused)
    assert answer.code is ErrorCode.UNAVAILABLE
    assert answer.retry_after is not None
    assert len(await log_of(redis, app_id)) == 3
    assert not await redis.exists(names.sent(app_id, "late"))
    await redis.hincrby(names.log_state(app_id), "projected", 1)
    assert isinstance(await writer.append_one(app_id, message(ids, "late")), Appended)


async def test_large_lists_go_in_several_batches_in_order(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    big = [Write(Event(EventKind.MESSAGE_SENT, b"%d" % n * 60_000), ids.next()) for n in range(40)]
    answers = await writer.append(app_id, big)
    assert all(isinstance(answer, Appended) for answer in answers)
    assert [body for _, _, body in await log_of(redis, app_id)] == [write.event.body for write in big]


async def test_recent_entries_are_found_until_they_are_retired(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    recent, sent = RecentEntries(redis), message(ids)
    assert await recent.find(app_id, sent.id, EventKind.MESSAGE_SENT) is None
    await writer.append_one(app_id, sent)
    found = await recent.find(app_id, sent.id, EventKind.MESSAGE_SENT)
    assert found is not None
    assert found.body == sent.event.body
    assert await recent.find(app_id, sent.id, EventKind.NOTICE_PUBLISHED) is None
    assert await recent.find(app_id + "2", sent.id, EventKind.MESSAGE_SENT) is None
    assert await recent.app_of(sent.id) == app_id
    assert await recent.app_of(sent.id + 1) is None
    assert await recent.app_of(sent.id, frozenset({"other", app_id})) == app_id
    for others in (frozenset({"other", app_id.upper()}), frozenset[str]()):
        assert await recent.app_of(sent.id, others) is None
    await writer.append_one(app_id, recall_of(sent))
    with pytest.raises(Retired):
        await recent.find(app_id, sent.id, EventKind.MESSAGE_SENT)


async def test_an_emptied_redis_begins_a_new_epoch_and_is_announced_again(ids: Snowflakes, app_id: str):
    async with private_redis() as server:
        redis: Any = redis_client.connect(server.url)
        writer = writer_on(redis)
        before = await writer.append_one(app_id, message(ids))
        await redis.flushall()
        after = await writer.append_one(app_id, message(ids))
        assert isinstance(before, Appended)
        assert isinstance(after, Appended)
        assert before.cursor.epoch != after.cursor.epoch
        assert await redis.sismember(names.APPS, app_id)
        await redis.aclose()


async def test_a_redis_that_is_away_or_full_refuses_and_heals(ids: Snowflakes, app_id: str):
    async with private_redis() as server:
        redis: Any = redis_client.connect(server.url)
        writer = writer_on(redis)
        assert isinstance(await writer.append_one(app_id, message(ids)), Appended)

        await redis.config_set("maxmemory", "1")
        with pytest.raises(Refused) as refused:
            await writer.append_one(app_id, message(ids, "full"))
        assert refused.value.code is ErrorCode.UNAVAILABLE
        await redis.config_set("maxmemory", "0")
        assert len(await log_of(redis, app_id)) == 1

        await server.kill()

        async def is_told_away() -> bool:
            # The first may still go out on the old connection: then its end is unknown.
            answer = (await writer.append(app_id, [message(ids)]))[0]
            assert isinstance(answer, Refused)
            return answer.code is ErrorCode.UNAVAILABLE

        await wait_until(is_told_away)
        await server.start()

        async def heals() -> bool:
            return isinstance((await writer.append(app_id, [message(ids)]))[0], Appended)

        await wait_until(heals)
        await redis.aclose()


async def test_an_append_without_an_answer_is_not_said_to_be_refused(ids: Snowflakes, app_id: str):
    async with private_redis() as server:
        redis: Any = redis_client.connect(server.url)
        writer = writer_on(redis)
        await writer.append_one(app_id, message(ids))
        server.pause()
        hung = asyncio.create_task(writer.append_one(app_id, message(ids, "c")))
        with pytest.raises(Refused) as refused:
            await hung
        server.resume()
        assert refused.value.code is ErrorCode.INTERNAL
        # It was in the socket when the server hung: it happens, once, however often it is repeated.
        await wait_until(lambda: redis.exists(names.sent(app_id, "c")))
        assert isinstance(await writer.append_one(app_id, message(ids, "c")), Repeated)
        assert len(await log_of(redis, app_id)) == 2
        await redis.aclose()
