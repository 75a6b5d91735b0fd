"""The log's writer, on a real Redis: order, atomicity, idempotency, limits."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import AlreadyRetired, Appended, Recall, Repeated, Sending, Write
from imc_command_api.identity.snowflake import Snowflakes
from imc_command_api.log import script as script_module
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.new_apps import NewApps
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
from imc_contracts.policies import Policies
from imc_service.activity import Activity
from imc_service.redis import client as redis_client
from imc_service.redis.masters import Masters
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

LATEST_MS = 10**13 - 1
"""The latest time of an id that tables can hold."""

LIMITS = Limits(backlog=1000, keep_recent_ms=lambda: 60_000, keep_sent_ms=60_000)


@pytest.fixture
def ids() -> Snowflakes:
    ids = Snowflakes()
    ids.lease(1, 0, 2**50)
    return ids


def writer_on(redis: Any, limits: Limits = LIMITS, ack_replicas: int = 0) -> LogWriter:
    quota = SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
    masters = Masters(redis)
    return LogWriter(
        NewApps(masters),
        AppendScript(masters, limits, quota, ack_replicas),
        LogMetrics(CollectorRegistry()),
        Activity(masters),
    )


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
        await subscriber.ssubscribe(names.live(app_id, 0))
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
    assert state[b"waiting"] == b"200"
    assert state[b"last"].decode() == published[-1][0]
    assert state[b"born"].decode() == published[0][0]
    shard = names.shard_of(app_id)
    born_ms = int(published[0][0].split("-")[0])
    assert await redis.zscore(names.apps(shard), app_id) == born_ms
    assert await redis.zscore(names.pending(shard), app_id) == born_ms
    changes = await redis.xrange(names.changes(shard))
    assert {b"a": app_id.encode()} in [fields for _, fields in changes]


TRACES = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]


async def test_the_context_of_a_trace_goes_with_an_entry_and_with_what_is_published(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    one, two, plain = message(ids)._replace(trace=TRACES[0]), message(ids, "c"), message(ids)
    recall = recall_of(plain)._replace(trace=TRACES[1])
    async with redis.pubsub() as subscriber:
        await subscriber.ssubscribe(names.live(app_id, 0))
        assert await subscriber.get_message(timeout=60) is not None
        answers = await writer.append(app_id, [one, plain, two, recall, recall])
        received = await subscriber.get_message(timeout=60)
    assert [type(answer) for answer in answers] == [Appended] * 4 + [AlreadyRetired]
    batch = read_live_batch(received["data"])
    assert batch.traces == tuple(TRACES)
    assert [entry.body for entry in batch.entries] == [each.event.body for each in (one, plain, two, recall)]
    rows = [fields for _, fields in await redis.xrange(names.log(app_id))]
    assert [fields.get(b"t") for fields in rows] == [TRACES[0].encode(), None, None, TRACES[1].encode()]
    # As projectors count them: with the names of the fields.
    size = sum(len(name) + len(value) for fields in rows for name, value in fields.items())
    assert int(await redis.hget(names.log_state(app_id), "waiting_bytes")) == size


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
    writer = writer_on(redis, Limits(3, lambda: 60_000, 60_000))
    await writer.append(app_id, [message(ids) for _ in range(3)])
    answer = (await writer.append(app_id, [message(ids, "late")]))[0]
    assert isinstance(answer, Refused)
    assert answer.code is ErrorCode.UNAVAILABLE
    assert answer.retry_after is not None
    assert len(await log_of(redis, app_id)) == 3
    assert not await redis.exists(names.sent(app_id, "late"))
    await redis.hincrby(names.log_state(app_id), "waiting", -1)
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
    recent, sent = RecentEntries(Masters(redis)), message(ids)
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
        assert await redis.zscore(names.apps(names.shard_of(app_id)), app_id) is not None
        await redis.aclose()


async def test_a_log_whose_state_was_lost_in_part_begins_anew_once(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
):
    first = await writer.append_one(app_id, message(ids))
    # As after a restart with a file that lacks its beginning.
    await redis.hdel(names.log_state(app_id), "epoch", "born")
    second = await writer.append_one(app_id, message(ids))
    third = await writer.append_one(app_id, message(ids))
    assert isinstance(first, Appended)
    assert isinstance(second, Appended)
    assert isinstance(third, Appended)
    assert second.cursor.epoch == third.cursor.epoch != first.cursor.epoch
    epoch, born = await redis.hmget(names.log_state(app_id), "epoch", "born")
    assert (epoch.decode(), born.decode()) == (second.cursor.epoch, str(second.cursor.entry))


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


async def test_a_send_is_acknowledged_once_so_many_replicas_have_it(
    ids: Snowflakes, app_id: str, monkeypatch: pytest.MonkeyPatch
):
    async with (
        private_redis() as server,
        private_redis("--replicaof", "127.0.0.1", str(server.port)) as replica,
    ):
        redis: Any = redis_client.connect(server.url)
        await redis.set("is it there", 1)
        await wait_until(lambda: redis.wait(1, 100))
        waiting, plain = writer_on(redis, ack_replicas=1), writer_on(redis)
        monkeypatch.setattr(script_module, "REPLICAS_MS", 4000)
        assert isinstance(await waiting.append_one(app_id, message(ids, "a")), Appended)
        monkeypatch.setattr(script_module, "REPLICAS_MS", 200)
        replica.pause()
        late = message(ids, "late")
        # The second time it is a repeat, which nobody else has either.
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await waiting.append_one(app_id, late)
            assert refused.value.code is ErrorCode.INTERNAL
        assert isinstance(await plain.append_one(app_id, message(ids, "b")), Appended)
        replica.resume()
        monkeypatch.setattr(script_module, "REPLICAS_MS", 4000)
        assert isinstance(await waiting.append_one(app_id, late), Repeated)
        assert len(await log_of(redis, app_id)) == 3
        await redis.aclose()


async def test_a_repeat_is_written_where_replicas_have_to_acknowledge_it(
    redis: Any, ids: Snowflakes, app_id: str
):
    """WAIT looks at the last write of the connection, and a repeat may come on another one than the send."""
    first = message(ids, "c")
    for _ in range(2):
        await writer_on(redis).append_one(app_id, first)

    async def changes() -> int:
        return (await redis.info("persistence"))["rdb_changes_since_last_save"]

    before = await changes()
    await writer_on(redis).append_one(app_id, first)
    assert await changes() == before
    with pytest.raises(Refused):
        await writer_on(redis, ack_replicas=1).append_one(app_id, first)
    assert await changes() > before


async def test_masters_that_have_parted_give_no_id_twice(ids: Snowflakes, app_id: str) -> None:
    """Both append in the same milliseconds. Who has an entry of the one must not take the other's for it."""

    async def given(url: str) -> set[str]:
        async with redis_client.connect(url) as redis:
            writer = writer_on(redis)
            for _ in range(300):
                await writer.append(app_id, [message(ids)])
            return {entry_id for entry_id, _, _ in await log_of(redis, app_id)}

    async with private_redis() as one, private_redis() as other:
        both = await asyncio.gather(given(one.url), given(other.url))
    milliseconds = [{entry_id.partition("-")[0] for entry_id in each} for each in both]
    assert milliseconds[0] & milliseconds[1]
    assert not both[0] & both[1]


async def test_a_batch_has_ids_that_follow_each_other(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
) -> None:
    for _ in range(20):
        await asyncio.gather(*(writer.append(app_id, [message(ids), message(ids)]) for _ in range(5)))
    entries = [read_entry(id_, fields).id for id_, fields in await redis.xrange(names.log(app_id))]
    assert entries == sorted(set(entries))
    assert len(entries) == 200


async def test_the_log_goes_on_after_an_entry_that_was_made_by_hand(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str
) -> None:
    await writer.append(app_id, [message(ids)])
    by_hand = await redis.xadd(names.log(app_id), {"k": "?", "v": ""}, id=f"{LATEST_MS}-7")
    await writer.append(app_id, [message(ids), message(ids)])
    entries = await redis.xrange(names.log(app_id))
    assert [id_ for id_, _ in entries][1:] == [by_hand, b"%d-8" % LATEST_MS, b"%d-9" % LATEST_MS]


@pytest.mark.parametrize(("sequence", "kind"), [(10**12, Refused), (9, Appended)])
async def test_an_entry_by_hand_in_the_millisecond_of_the_last_is_noticed(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str, sequence: int, kind: type
) -> None:
    """The clock is not beyond the last entry, so the log counts on from it."""
    log = names.log(app_id)
    await redis.xadd(log, {"k": "?", "v": ""}, id=f"{LATEST_MS}-7")
    await writer.append(app_id, [message(ids)])
    await redis.xadd(log, {"k": "?", "v": ""}, id=f"{LATEST_MS}-{sequence}")
    [outcome] = await writer.append(app_id, [message(ids)])
    assert isinstance(outcome, kind)


@pytest.mark.parametrize(
    "by_hand", [f"{LATEST_MS + 1}-0", f"{2**64 - 1}-{2**64 - 1}", f"{LATEST_MS}-{10**9}"]
)
async def test_nothing_is_appended_after_an_id_that_no_table_can_hold(
    redis: Any, writer: LogWriter, ids: Snowflakes, app_id: str, by_hand: str
) -> None:
    """It would be acknowledged, and never be stored."""
    log = names.log(app_id)
    await writer.append(app_id, [message(ids)])
    [(before, _)] = await redis.xrange(log)
    await redis.xadd(log, {"k": "?", "v": ""}, id=by_hand)
    for _ in range(2):
        for refused in await writer.append(app_id, [message(ids, "c"), message(ids)]):
            assert isinstance(refused, Refused)
            assert refused.code is ErrorCode.UNAVAILABLE
        assert await redis.xlen(log) <= 2
        # The stream still knows the id.
        await redis.xdel(log, by_hand)
    await redis.execute_command("XSETID", log, before)
    assert all(
        isinstance(each, Appended) for each in await writer.append(app_id, [message(ids, "c"), message(ids)])
    )
    assert await redis.xlen(log) == 3
