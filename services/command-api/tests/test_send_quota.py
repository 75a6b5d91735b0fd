"""Quotas of sends and of the backlog, on a real Redis: exact, for each app, over all processes."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from imc_command_api.handlers.ports import Appended, Recall, Repeated, Sending, Write
from imc_command_api.handlers.send_messages import SendMessages
from imc_command_api.identity.snowflake import Snowflakes
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.new_apps import NewApps
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.log.writer import LogWriter
from imc_command_api.projector.logs import Logs, ProjectedStretch, Retention
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import (
    BACKLOG_SECONDS,
    LEAST_SECONDS,
    MOST_SECONDS,
    Bucket,
    SendQuota,
)
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.commands import SendMessage
from imc_contracts.errors import Refused
from imc_contracts.events import Event, EventKind, RecallMark
from imc_service.activity import Activity
from imc_service.redis.masters import Masters
from imc_testkit.policies import policies_of
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

LIMITS = Limits(backlog=100_000, keep_recent_ms=lambda: 60_000, keep_sent_ms=60_000)
NEVER = "0.000001"
"""Sends a second: too few for one to be gained while a test runs."""


class Process:
    """What a command-api does with a send, with a clock that the test sets."""

    def __init__(self, redis: Any, quotas: str, worker: int = 1) -> None:
        self.redis = redis
        self.now = 0.0
        self.policies = policies_of(quotas)
        self.registry = CollectorRegistry()
        self.quota = SendQuota(self.policies, SendQuotaMetrics(self.registry), lambda: self.now)
        self.writer = LogWriter(
            NewApps(Masters(redis)),
            AppendScript(Masters(redis), LIMITS, self.quota),
            LogMetrics(self.registry),
            Activity(Masters(redis)),
        )
        self.ids = Snowflakes()
        self.ids.lease(worker, 0, 2**50)
        self.sends = SendMessages(self.writer, self.ids, self.quota)

    async def append(self, app_id: str, *writes: Write) -> str:
        """A letter for each: accepted, repeated, or refused for the quota."""
        return "".join(_letter(answer) for answer in await self.writer.append(app_id, writes))

    def write(self, kind: EventKind = EventKind.MESSAGE_SENT, size: int = 20, own_id: str = "") -> Write:
        """Of ``size`` bytes in the log: its kind, its body, and the names of these two fields."""
        id_ = self.ids.next()
        sending = Sending(own_id, id_, 1, "d") if own_id else None
        mark = Recall(1, RecallMark(str(id_), 1, None)) if kind is EventKind.MESSAGE_RECALLED else None
        return Write(Event(kind, b"{" + b" " * (size - 5) + b"}"), id_, sending, mark)

    def writes(self, count: int) -> list[Write]:
        return [self.write() for _ in range(count)]

    def appends(self) -> float:
        """How often Redis was asked to append."""
        return self.registry.get_sample_value("imc_log_append_seconds_count") or 0

    def refusals(self, quota: str = "sends_per_second") -> float:
        return self.registry.get_sample_value("imc_send_quota_refusals_total", {"quota": quota}) or 0


def _letter(answer: Any) -> str:
    if isinstance(answer, Refused):
        assert answer.code is ErrorCode.QUOTA_USED_UP
        assert answer.retry_after
        return "-"
    return {Appended: "+", Repeated: "="}[type(answer)]


@pytest.fixture
def process(redis: Any, app_id: str) -> Callable[..., Process]:
    return lambda table, **options: Process(redis, f'[apps."{app_id}".quotas]\n{table}', **options)


async def test_a_batch_is_cut_where_the_bucket_is_empty(process: Any, redis: Any, app_id: str):
    one = process(f"sends_per_second = {NEVER}\nsend_burst = 7")
    assert await one.append(app_id, *one.writes(10)) == "+++++++---"
    assert await redis.xlen(names.log(app_id)) == 7
    assert await one.append(app_id, *one.writes(2)) == "--"
    assert await one.append(f"{app_id}-other", *one.writes(10)) == "+" * 10


async def test_the_bucket_is_one_for_all_processes(process: Any, redis: Any, app_id: str):
    table = f"sends_per_second = {NEVER}\nsend_burst = 50"
    several = [process(table, worker=worker) for worker in (1, 2, 3)]
    answers = await asyncio.gather(
        *(each.append(app_id, *each.writes(1)) for _ in range(30) for each in several)
    )
    assert sum(answer == "+" for answer in answers) == 50 == await redis.xlen(names.log(app_id))


async def test_the_bucket_fills_as_time_goes_by(process: Any, app_id: str):
    one = process("sends_per_second = 100\nsend_burst = 1")
    assert await one.append(app_id, *one.writes(2)) == "+-"

    async def accepted() -> bool:
        return await one.append(app_id, one.write()) == "+"

    await wait_until(accepted, interval=0.001)


async def test_a_bucket_that_is_full_takes_no_room(process: Any, redis: Any, app_id: str):
    one = process("sends_per_second = 1\nsend_burst = 5")
    await one.append(app_id, *one.writes(5))
    assert 0 < await redis.pttl(names.send_quota(app_id)) <= 5002


async def test_a_clock_that_stepped_back_closes_no_app(process: Any, redis: Any, app_id: str):
    one = process("sends_per_second = 1000\nsend_burst = 1")
    await redis.set(names.send_quota(app_id), 2**52)
    assert await one.append(app_id, one.write()) == "-"

    async def accepted() -> bool:
        return await one.append(app_id, one.write()) == "+"

    await wait_until(accepted, interval=0.001)


async def test_a_repeat_takes_a_send_and_a_recall_does_not(process: Any, app_id: str):
    one = process(f"sends_per_second = {NEVER}\nsend_burst = 2")
    assert (
        await one.append(app_id, one.write(own_id="a"), one.write(own_id="a"), one.write(own_id="a")) == "+=-"
    )
    assert await one.append(app_id, one.write(EventKind.MESSAGE_RECALLED), one.write()) == "+-"
    assert await one.append(app_id, one.write(EventKind.NOTICE_PUBLISHED)) == "-"


async def test_an_app_over_its_quota_is_turned_away_at_the_door(process: Any, redis: Any, app_id: str):
    one = process(f"sends_per_second = {NEVER}\nsend_burst = 1")
    command = SendMessage.model_validate(
        {"appId": app_id, "groupId": "g", "userId": "u", "content": "c", "clientMessageId": "same"}
    )
    await one.sends.one(command)
    with pytest.raises(Refused):
        await one.sends.one(command)
    before = one.appends()
    for _ in range(100):
        with pytest.raises(Refused) as refused:
            await one.sends.one(command)
        assert (refused.value.code, refused.value.retry_after) == (ErrorCode.QUOTA_USED_UP, 1_000_000)
    answers = await one.sends.batch([command, command.model_copy(update={"app_id": f"{app_id}-b"}), command])
    assert [isinstance(answer, Refused) for answer in answers] == [True, False, True]
    assert one.refusals() == 103
    one.now = 1.1
    one.policies.read("")
    assert (await one.sends.one(command))["duplicate"]
    assert one.appends() == before + 2, "that of the other app, and that of the repeat"


async def test_what_is_turned_away_is_not_kept_in_memory(process: Any, app_id: str):
    """A refusal that is raised again and again would hold the body of every request it ended."""
    door = process(f"sends_per_second = {NEVER}").quota
    door.sends_used_up(app_id, 60_000_000)
    bodies: list[weakref.ref[object]] = []

    def turn_away(body: Callable[[], None]) -> None:
        bodies.append(weakref.ref(body))
        with pytest.raises(Refused):
            door.require(app_id)

    for _ in range(10):
        turn_away(lambda: None)
    assert [body() for body in bodies] == [None] * 10


async def test_the_door_is_closed_for_as_long_as_the_bucket_needs_and_no_longer(process: Any, app_id: str):
    one = process("sends_per_second = 1000\nsend_burst = 1000")

    def is_closed() -> bool:
        try:
            one.quota.require(app_id)
        except Refused:
            return True
        return False

    assert not is_closed()
    one.quota.sends_used_up(app_id, 200)
    assert is_closed()
    one.now += LEAST_SECONDS
    assert not is_closed()
    one.quota.sends_used_up(app_id, 400_000)
    one.now += 0.399
    assert is_closed()
    one.now += 0.002
    assert not is_closed()


async def test_the_door_opens_before_a_small_bucket_overflows(process: Any, app_id: str):
    """What is allowed is to be had in full, though the door is closed for a while after each refusal."""
    one = process("sends_per_second = 1000\nsend_burst = 3")
    one.quota.sends_used_up(app_id, 0)
    one.now = 0.0009  # it fills in 3 ms, and holds one after the first
    with pytest.raises(Refused):
        one.quota.require(app_id)
    one.now = 0.0011
    one.quota.require(app_id)


@pytest.mark.parametrize("kind", ["sends", "backlog"])
async def test_the_door_is_closed_for_a_second_at_most(process: Any, app_id: str, kind: str):
    """The quota may have been raised, or what waited may be stored."""
    one = process(f"sends_per_second = {NEVER}\nbacklog_bytes = 1")
    closed_for = MOST_SECONDS if kind == "sends" else BACKLOG_SECONDS
    used_up = (
        one.quota.sends_used_up(app_id, 10**12) if kind == "sends" else one.quota.backlog_used_up(app_id)
    )
    assert used_up.retry_after == (1_000_000 if kind == "sends" else 5)
    assert closed_for <= 1
    one.now = closed_for * 0.99
    with pytest.raises(Refused) as refused:
        one.quota.require(app_id)
    assert refused.value.retry_after == used_up.retry_after
    one.now = closed_for
    one.quota.require(app_id)
    assert one.refusals("sends_per_second" if kind == "sends" else "backlog_bytes") == 2


async def test_who_was_refused_long_ago_is_forgotten(process: Any, app_id: str):
    """The door is not to grow with every app that ever was over its quota."""
    one = process(f"sends_per_second = {NEVER}")
    for number in range(3000):
        one.now = number
        one.quota.sends_used_up(f"app{number}", 10**12)
    assert len(one.quota._closed) <= 1100


async def test_a_full_door_forgets_nobody_who_is_still_over(process: Any, app_id: str):
    one = process("")
    for number in range(3000):
        one.quota.sends_used_up(f"app{number}", 10**12)
    for number in range(3000):
        with pytest.raises(Refused):
            one.quota.require(f"app{number}")


async def test_the_bucket_is_the_quota_in_microseconds(process: Any, app_id: str):
    bucket = process("sends_per_second = 50\nsend_burst = 7\nbacklog_bytes = 3").quota.bucket
    assert bucket(app_id) == Bucket(send_us=20_000, depth_us=140_000, backlog_bytes=3)
    assert bucket("another") == Bucket(send_us=0, depth_us=0, backlog_bytes=-1)


async def test_no_sends_at_all(process: Any, app_id: str):
    one = process("sends_per_second = 0")
    with pytest.raises(Refused, match="allows no sends") as refused:
        one.quota.require(app_id)
    assert refused.value.retry_after == 60
    assert one.refusals() == 1
    one.quota.require("another")


async def test_what_waits_for_the_database_is_bounded_in_bytes(process: Any, redis: Any, app_id: str):
    one = process("backlog_bytes = 1000")
    assert await one.append(app_id, one.write(size=500), one.write(size=600), one.write(size=491)) == "+-+"
    assert await one.append(app_id, one.write(size=20)) == "-"
    assert one.refusals("backlog_bytes") == 2
    assert await one.append(app_id, one.write(EventKind.MESSAGE_RECALLED, 100)) == "+"
    await redis.set(names.owner(names.shard_of(app_id)), "tester")
    logs = Logs(Masters(redis), "tester", Retention(60_000, 1000, 60_000))
    [stretch] = await logs.read(redis, [app_id], {})
    sizes = [entry.size for entry in stretch.entries]
    waiting = int(await redis.hget(names.log_state(app_id), "waiting_bytes"))
    assert sum(sizes) == 500 + 491 + 100 == waiting, "writer and projector count alike"
    first = ProjectedStretch(replace(stretch, entries=stretch.entries[:1]), [])
    assert await logs.advance([first]) == [True]
    assert await logs.advance([first]) == [False]
    assert await redis.hget(names.log_state(app_id), "waiting_bytes") == b"591"
    assert await one.append(app_id, one.write(size=400), one.write(size=20)) == "+-"


async def test_a_count_that_went_wrong_is_put_right_when_nothing_waits(process: Any, redis: Any, app_id: str):
    one = process("backlog_bytes = 100")
    await redis.hset(names.log_state(app_id), "waiting_bytes", 10_000)
    assert await one.append(app_id, one.write()) == "+"
    assert await redis.hget(names.log_state(app_id), "waiting_bytes") == b"20"
