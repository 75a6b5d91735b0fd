"""One contract for the Redis in memory and the real one: what the state machine sees is what there is."""

import itertools
import time
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest
from imc_command_api.handlers.ports import AlreadyRetired, Appended, Outcome, Recall, Repeated, Sending, Write
from imc_command_api.log.script import AppendScript, BacklogFull, Limits
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import events, names
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor, EntryId
from imc_contracts.errors import Refused
from imc_contracts.events import EventKind, LiveBatch, RecallMark, read_live_batch, read_message
from imc_contracts.policies import Policies
from imc_contracts.views import Message, recalled
from imc_push_node.stream.log_reader import LogReader
from imc_service.redis.masters import Masters
from imc_testkit.memory_redis import Keys, MemoryRedis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry, Counter
from redis.asyncio import Redis

BACKLOG = 20
NOWHERE = Cursor(UNBORN, ORIGIN)
NOTICE = Write(events.notice_published(cast(Any, {"informationId": "1", "content": "notice"})), 1)


class Log:
    """One app's log, by the real script and the real reader; ``published`` is what was heard of it."""

    def __init__(self, redis: Any, app_id: str) -> None:
        self.redis = redis
        self.app_id = app_id
        self.published: list[bytes] = []
        self.pubsub: Any = None
        masters = Masters(redis)
        self.reader = LogReader(masters, Counter("skipped", "Skipped.", registry=CollectorRegistry()))
        quota = SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
        self._script = AppendScript(masters, Limits(BACKLOG, lambda: 60_000, 60_000), quota)
        self._ids = itertools.count(1_000_000_000_000_000_000)

    async def append(self, *writes: Write) -> list[Outcome | Refused]:
        return await self._script.run(self.app_id, writes)

    async def add(self, *writes: Write) -> list[Cursor]:
        outcomes = await self.append(*writes)
        return [outcome.cursor for outcome in outcomes if isinstance(outcome, Appended)]

    def message(self, content: str = "text", own_id: str | None = None) -> Write:
        id_ = next(self._ids)
        parties = {"appId": self.app_id, "groupId": "g", "userId": "u"}
        state = {"recallTime": 0, "recallCause": None, "status": 1, "type": None}
        body = {"messageId": str(id_), **parties, "content": content, "createTime": 5, **state}
        sending = Sending(own_id, id_, 5, "digest") if own_id else None
        return Write(events.message_sent(cast(Message, body)), id_, sending)

    def recall(self, sent: Write) -> Write:
        shown = recalled(read_message(sent.event.body), 9, "cause")
        mark = RecallMark(shown["messageId"], 9, "cause")
        return Write(events.message_recalled(shown), sent.id, recall=Recall(5, mark))

    async def trim(self, oldest: Cursor) -> None:
        if isinstance(self.redis, MemoryRedis):
            entries = self.redis.keys.streams[names.log(self.app_id)]
            self.redis.keys.trim(self.app_id, sum(at >= oldest.entry for at, _ in entries))
        else:
            await self.redis.xtrim(names.log(self.app_id), minid=str(oldest.entry), approximate=False)

    async def heard(self) -> list[LiveBatch]:
        """All that was published so far."""

        async def is_all() -> bool:
            if self.pubsub is not None:
                news = await self.pubsub.get_message(ignore_subscribe_messages=True, timeout=0)
                self.published += [news["data"]] if news else []
            state = await self.reader.state(self.app_id)
            return bool(self.published) and read_live_batch(self.published[-1]).entries[-1].id == state.last

        await wait_until(is_all, interval=0.001)
        return [read_live_batch(payload) for payload in self.published]


@pytest.fixture
async def real_log(redis: Redis, app_id: str) -> AsyncGenerator[Log]:
    log = Log(redis, app_id)
    async with cast(Any, redis).pubsub() as log.pubsub:
        await log.pubsub.ssubscribe(names.live(app_id, 0))
        yield log


@pytest.fixture
def memory_log(app_id: str) -> Log:
    log = Log(MemoryRedis(Keys(lambda: time.time_ns() // 1_000_000)), app_id)
    log.redis.keys.on_publish = lambda _channel, payload: log.published.append(payload)
    return log


@pytest.fixture(params=["real_log", "memory_log"])
def log(request: pytest.FixtureRequest) -> Log:
    return request.getfixturevalue(request.param)


async def test_a_log_is_unborn_until_its_first_entry(log: Log):
    before = await log.reader.state(log.app_id)
    assert (before.epoch, before.last) == (before.unborn, ORIGIN)
    assert before.point.is_unborn
    assert (await log.reader.state(log.app_id)).epoch == before.epoch
    first, second = await log.add(log.message(), log.message())
    assert first.entry < second.entry
    after = await log.reader.state(log.app_id)
    assert (after.epoch, after.born, after.last) == (first.epoch, first.entry, second.entry)
    assert (after.unborn, after.point.is_unborn) == (before.unborn, False)
    assert before.now_ms <= first.entry.ms <= after.now_ms


async def test_each_batch_is_published_with_the_place_before_it(log: Log):
    sent = log.message()
    first = await log.add(sent, log.message())
    second = await log.add(log.recall(sent), NOTICE)
    one, two = await log.heard()
    assert [(one.prev, one.epoch), (two.prev, two.epoch)] == [
        (ORIGIN, first[0].epoch),
        (first[-1].entry, first[0].epoch),
    ]
    assert [entry.id for entry in one.entries + two.entries] == [cursor.entry for cursor in first + second]
    kinds = [EventKind.MESSAGE_SENT, EventKind.MESSAGE_RECALLED, EventKind.NOTICE_PUBLISHED]
    assert [entry.kind for entry in one.entries[1:] + two.entries] == kinds
    assert one.entries[0].body == sent.event.body


async def test_what_was_sent_before_is_not_sent_again(log: Log):
    sent, other = log.message(own_id="own"), log.message(own_id="own")
    (cursor,) = await log.add(sent)
    assert sent.sending is not None
    repeated = Repeated(sent.sending, str(cursor))
    assert await log.append(sent, other) == [repeated, repeated]
    twice = log.message(own_id="twice")
    first, second = await log.append(twice, twice)
    assert isinstance(first, Appended)
    assert second == Repeated(cast(Sending, twice.sending), first.cursor_text)


async def test_a_message_is_recalled_once(log: Log):
    sent = log.message()
    await log.add(sent)
    first, second = await log.append(log.recall(sent), log.recall(sent))
    assert isinstance(first, Appended)
    assert second == AlreadyRetired() == (await log.append(log.recall(sent)))[0]
    assert len(await log.heard()) == 2


async def test_a_full_backlog_takes_nothing(log: Log):
    await log.add(*(log.message() for _ in range(BACKLOG - 1)))
    state = await log.reader.state(log.app_id)
    with pytest.raises(BacklogFull):
        await log.append(log.message(), log.message())
    assert (await log.reader.state(log.app_id)).last == state.last
    assert len(await log.add(log.message())) == 1


async def test_a_reader_is_shown_no_content_of_recalled_messages(log: Log):
    sent, kept = log.message("gone"), log.message("kept")
    before, _ = await log.add(sent, kept)
    await log.add(log.recall(sent))
    stretch = await log.reader.after(log.app_id, NOWHERE)
    shown = [(entry.kind, read_message(entry.body)) for entry in stretch.entries]
    assert [(kind, message["content"], message["status"]) for kind, message in shown] == [
        (EventKind.MESSAGE_SENT, "", 0),
        (EventKind.MESSAGE_SENT, "kept", 1),
        (EventKind.MESSAGE_RECALLED, "", 0),
    ]
    assert (await log.reader.after(log.app_id, before)).entries == stretch.entries[1:]


async def test_every_point_is_read_from_and_proven_alike(log: Log):
    """With pages of any size, the log whole and cut off."""
    cursors = [cursor for _ in range(4) for cursor in await log.add(log.message(), log.message())]
    for cut in (0, 3, len(cursors) - 1):
        await log.trim(cursors[cut])
        for limit in (1, 3, 20):
            for at, cursor in enumerate(cursors):
                stretch = await log.reader.after(log.app_id, cursor, limit)
                kept = cursors[max(at, cut) : max(at, cut) + limit + 1]
                assert sorted(stretch.entry_ids) == [kept_cursor.entry for kept_cursor in kept]
                follow = [kept_cursor.entry for kept_cursor in kept if kept_cursor > cursor]
                assert [entry.id for entry in stretch.entries] == follow
                assert stretch.end == kept[-1]
                assert stretch.is_last == (kept[-1] == cursors[-1])
                is_next = cursor.entry.following in stretch.entry_ids
                assert stretch.proves(cursor) == (at >= cut or is_next)
            whole = await log.reader.after(log.app_id, Cursor(UNBORN, cursors[0].entry), limit)
            assert whole.is_from_birth == (cut == 0)
            assert [entry.id for entry in whole.entries] == sorted(whole.entry_ids)


async def test_a_log_that_was_cut_off_goes_on_from_where_it_was(log: Log):
    first, second = await log.add(log.message(), log.message())
    await log.trim(Cursor(second.epoch, second.entry.following))
    assert (await log.reader.after(log.app_id, NOWHERE)).entry_ids == frozenset()
    stretch = await log.reader.after(log.app_id, second)
    assert stretch.proves(second)
    assert not stretch.proves(first)
    (third,) = await log.add(log.message())
    assert third > second
    assert (await log.heard())[-1].prev == second.entry
    far = EntryId(third.entry.ms + 1_000_000, 0)
    assert not (await log.reader.after(log.app_id, Cursor(third.epoch, far))).proves(Cursor(third.epoch, far))


async def test_scores_are_kept_as_takeover_needs_them(log: Log):
    redis, key = log.redis, names.gateways(log.app_id)
    await redis.zadd(key, {"a": 5, "b": 7}, gt=True)
    await redis.zadd(key, {"a": 3, "b": 9}, gt=True)
    assert await redis.zmscore(key, ["a", "b", "c"]) == [5, 9, None]
    assert await redis.zincrby(key, 2, "a") == 7
    await redis.zremrangebyscore(key, 7, 7)
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.zscore(key, "a")
        pipeline.zscore(key, "b")
        assert await pipeline.execute() == [None, 9]
    assert await redis.zrangebyscore(key, 1, 9) == [b"b"]
