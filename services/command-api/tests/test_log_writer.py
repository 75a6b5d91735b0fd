"""How the log's writer makes batches: their bounds, their order, and what becomes of those that fail.

The script is one of the tests', which notes its batches and waits where it is told to.
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from imc_command_api.handlers.ports import Appended, Write
from imc_command_api.log import writer as module
from imc_command_api.log.metrics import LogMetrics
from imc_command_api.log.script import BacklogFull, LogAtItsEnd, NewApp
from imc_command_api.log.writer import (
    MAX_BATCH_BYTES,
    MAX_BATCH_EVENTS,
    MAX_IN_FLIGHT,
    UNKNOWN_END,
    LogWriter,
)
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.events import Event, EventKind
from imc_service.activity import Activity
from imc_service.current_call import answering, follow, id_of
from imc_service.redis import masters as redis_masters
from imc_service.redis.errors import NotReplicated
from imc_service.redis.masters import Masters
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError


class Script:
    """In the place of the append script. The place of an event is its id."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        """Of each batch the app, and the ids of its events."""
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.error: Exception | None = None
        self.apps: set[str] | None = None
        """Those that have a log; None for all."""

    async def run(self, app_id: str, writes: Sequence[Write], *, may_begin: bool = True) -> Any:
        if self.apps is not None and app_id not in self.apps:
            if not may_begin:
                raise NewApp(app_id)
            self.apps.add(app_id)
        self.batches.append((app_id, [write.id for write in writes]))
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return [Appended(str(write.id)) for write in writes]

    @property
    def lengths(self) -> list[int]:
        return [len(ids) for _, ids in self.batches]


class NewApps:
    """In the place of the quota of new apps."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.taken = 0
        """How many new apps were taken from the quota."""
        self.error: Exception | None = None

    def may_begin(self, app_id: str) -> bool:
        return app_id in self.known

    def has_log(self, app_id: str) -> None:
        self.known.add(app_id)

    async def take(self) -> None:
        if self.error is not None:
            raise self.error
        self.taken += 1


class Bench:
    """A writer and what is around it."""

    def __init__(self) -> None:
        self.script, self.new_apps, self.registry = Script(), NewApps(), CollectorRegistry()
        parts: Any = (self.new_apps, self.script)
        self.activity = Activity(Masters(parts[1]))
        self.writer = LogWriter(parts[0], parts[1], LogMetrics(self.registry), self.activity)

    def value(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0

    async def held(self, app_id: str = "a") -> asyncio.Task[Any]:
        """An append whose script waits: what comes after it waits too."""
        self.script.goes_on.clear()
        begun = len(self.script.batches)
        first = asyncio.create_task(self.writer.append_one(app_id, write(0)))
        await wait_until(lambda: len(self.script.batches) > begun)
        return first


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def write(id_: int, size: int = 10) -> Write:
    return Write(Event(EventKind.MESSAGE_SENT, b"x" * size), id_)


def places(answers: Sequence[Any]) -> list[int]:
    return [int(answer.cursor_text) for answer in answers]


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([10] * MAX_BATCH_EVENTS, [MAX_BATCH_EVENTS]),
        ([10] * (2 * MAX_BATCH_EVENTS + 1), [MAX_BATCH_EVENTS, MAX_BATCH_EVENTS, 1]),
        ([MAX_BATCH_BYTES // 2] * 2, [2]),
        ([MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES // 2 + 1], [1, 1]),
        ([MAX_BATCH_BYTES // 4] * 9, [4, 4, 1]),
        ([MAX_BATCH_BYTES + 1, 10, MAX_BATCH_BYTES + 1], [1, 1, 1]),
        ([MAX_BATCH_BYTES], [1]),
    ],
)
async def test_a_list_is_cut_where_a_batch_is_full(bench: Bench, sizes: list[int], lengths: list[int]):
    answers = await bench.writer.append("a", [write(id_, size) for id_, size in enumerate(sizes)])
    assert bench.script.lengths == lengths
    assert places(answers) == list(range(len(sizes)))


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([10] * MAX_BATCH_EVENTS, [MAX_BATCH_EVENTS]),
        ([10] * (MAX_BATCH_EVENTS + 1), [MAX_BATCH_EVENTS, 1]),
        ([MAX_BATCH_BYTES // 2] * 2, [2]),
        ([MAX_BATCH_BYTES // 2, MAX_BATCH_BYTES // 2 + 1], [1, 1]),
        ([MAX_BATCH_BYTES + 1, 10], [1, 1]),
    ],
)
async def test_callers_that_wait_are_joined_until_a_batch_is_full(
    bench: Bench, sizes: list[int], lengths: list[int]
):
    held = await bench.held()
    waiting = [
        asyncio.create_task(bench.writer.append_one("a", write(id_, size))) for id_, size in enumerate(sizes)
    ]
    await asyncio.sleep(0)
    bench.script.goes_on.set()
    answers = await asyncio.gather(*waiting)
    assert bench.script.lengths == [1, *lengths]
    assert places(answers) == list(range(len(sizes)))
    await held


async def test_lists_are_not_cut_to_fill_a_batch(bench: Bench):
    held = await bench.held()
    waiting = [
        asyncio.create_task(bench.writer.append("a", [write(id_) for id_ in range(begin, begin + 300)]))
        for begin in (0, 1000)
    ]
    await asyncio.sleep(0)
    bench.script.goes_on.set()
    assert [places(answer) for answer in await asyncio.gather(*waiting)] == [
        [*range(300)],
        [*range(1000, 1300)],
    ]
    assert bench.script.lengths == [1, 300, 300]
    await held


async def test_batches_of_an_app_go_one_by_one_and_those_of_others_beside_them(bench: Bench):
    held = [await bench.held("a"), asyncio.create_task(bench.writer.append_one("a", write(1)))]
    held.append(asyncio.create_task(bench.writer.append_one("b", write(2))))
    await wait_until(lambda: len(bench.script.batches) == 2)
    assert bench.script.batches == [("a", [0]), ("b", [2])]
    bench.script.goes_on.set()
    await asyncio.gather(*held)
    assert bench.script.batches[2:] == [("a", [1])]


async def test_only_so_many_batches_are_under_way(bench: Bench):
    bench.script.goes_on.clear()
    waiting = [
        asyncio.create_task(bench.writer.append_one(f"app{number}", write(number)))
        for number in range(MAX_IN_FLIGHT + 5)
    ]
    await wait_until(lambda: len(bench.script.batches) == MAX_IN_FLIGHT)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(bench.script.batches) == MAX_IN_FLIGHT
    bench.script.goes_on.set()
    await asyncio.gather(*waiting)
    assert len(bench.script.batches) == MAX_IN_FLIGHT + 5


async def test_closing_waits_for_what_is_under_way(bench: Bench):
    held = await bench.held()
    closing = asyncio.create_task(bench.writer.close())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not closing.done()
    bench.script.goes_on.set()
    await closing
    assert places([await held]) == [0]


async def test_who_no_longer_waits_takes_nobodys_answer(bench: Bench):
    held = await bench.held()
    waiting = [asyncio.create_task(bench.writer.append_one("a", write(id_))) for id_ in (1, 2, 3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    bench.script.goes_on.set()
    await held
    assert places([await waiting[0], await waiting[2]]) == [1, 3]
    assert bench.script.batches[1] == ("a", [1, 2, 3])


async def test_an_app_is_taken_from_the_quota_once_and_begins_again_without_it(bench: Bench):
    bench.script.apps = set()
    for id_ in range(3):
        await bench.writer.append_one("a", write(id_))
    assert bench.new_apps.taken == 1
    bench.script.apps.clear()
    await bench.writer.append_one("a", write(3))
    assert bench.new_apps.taken == 1, "an app that was known is not refused as a new one"
    assert bench.script.apps == {"a"}


async def test_an_app_that_has_a_log_costs_the_quota_nothing(bench: Bench):
    bench.script.apps = {"a"}
    await bench.writer.append_one("a", write(1))
    assert bench.new_apps.taken == 0


async def test_what_takes_back_begins_a_log_without_the_quota(bench: Bench):
    bench.script.apps = set()
    retiring = Write(Event(EventKind.MESSAGE_RECALLED, b"{}"), 1)
    await bench.writer.append("a", [write(2), retiring])
    assert bench.new_apps.taken == 0


async def test_nothing_is_appended_of_a_new_app_whose_quota_can_not_be_asked(bench: Bench):
    bench.script.apps = set()
    bench.new_apps.error = RedisConnectionError("gone")
    with pytest.raises(Refused, match="the log is out of reach") as refused:
        await bench.writer.append_one("a", write(1))
    assert refused.value.code is ErrorCode.UNAVAILABLE
    assert bench.script.batches == []
    bench.new_apps.error = None
    assert places([await bench.writer.append_one("a", write(2))]) == [2]
    assert bench.new_apps.taken == 1


@pytest.mark.parametrize(
    ("error", "code", "message", "retry_after"),
    [
        (BacklogFull("a"), ErrorCode.UNAVAILABLE, "waits to be stored", module.BACKLOG_RETRY_SECONDS),
        (LogAtItsEnd("a"), ErrorCode.UNAVAILABLE, "did not make", module.BACKLOG_RETRY_SECONDS),
        (NotReplicated("0 of 1"), ErrorCode.INTERNAL, UNKNOWN_END, None),
        (RuntimeError("of ours"), ErrorCode.INTERNAL, UNKNOWN_END, None),
        (RedisConnectionError("in the middle"), ErrorCode.INTERNAL, UNKNOWN_END, None),
    ],
)
async def test_all_of_a_batch_that_fails_are_refused_alike(
    bench: Bench, error: Exception, code: ErrorCode, message: str, retry_after: int | None
):
    held = await bench.held()
    waiting = [asyncio.create_task(bench.writer.append("a", [write(1), write(2)])) for _ in range(2)]
    await asyncio.sleep(0)
    bench.script.error = error
    bench.script.goes_on.set()
    await asyncio.gather(held, return_exceptions=True)
    for answers in await asyncio.gather(*waiting):
        assert len(answers) == 2
        for answer in answers:
            assert isinstance(answer, Refused)
            assert (answer.code, answer.retry_after) == (code, retry_after)
            assert message in answer.message
    bench.script.error = None
    assert places([await bench.writer.append_one("a", write(3))]) == [3]


async def test_a_line_about_a_batch_names_all_its_calls(
    bench: Bench, lines_of_logs: Callable[[], list[dict[str, Any]]]
):
    scopes: list[dict[str, Any]] = [{"headers": [(b"x-request-id", b"of-ann")]}, {}, {}]

    async def answer(scope: dict[str, Any]) -> None:
        with answering(scope), pytest.raises(Refused):
            await bench.writer.append_one("a", write(1))

    held = await bench.held()
    waiting = [asyncio.create_task(answer(scope)) for scope in scopes]
    await asyncio.sleep(0)
    bench.script.error = RuntimeError("of ours")
    bench.script.goes_on.set()
    await asyncio.gather(held, *waiting, return_exceptions=True)
    lines = lines_of_logs()
    told = [line for line in lines if line["event"] == "append without an answer"]
    # The first is the append that was held; it belongs to no call.
    assert [line["requestIds"] for line in told] == [[], [id_of(scope) for scope in scopes]]
    assert told[1]["requestIds"][0] == "of-ann"
    assert all("requestId" not in line for line in told), "it is none of them alone"


async def test_batches_and_events_are_counted_and_timed(bench: Bench):
    await bench.writer.append("a", [write(id_) for id_ in range(MAX_BATCH_EVENTS + 3)])
    assert bench.value("imc_log_batches_total") == 2
    assert bench.value("imc_log_writes_total") == MAX_BATCH_EVENTS + 3
    assert bench.value("imc_log_append_seconds_count") == 2


def test_batches_never_wait_for_a_connection() -> None:
    pool = inspect.signature(redis_masters.connect).parameters["max_connections"].default
    assert pool > MAX_IN_FLIGHT


async def test_how_long_a_send_took_is_noted_with_its_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    took = list[tuple[float, int]]()
    monkeypatch.setattr(bench.activity, "took", took.extend)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    first = await bench.held()
    waiting = asyncio.create_task(bench.writer.append("a", [write(1), write(2)]))
    seen = loop.time()
    await wait_until(lambda: loop.time() > seen + 0.05)
    bench.script.goes_on.set()
    await asyncio.gather(first, waiting)
    assert [sends for _, sends in took] == [1, 2]
    assert all(0.05 <= seconds <= loop.time() - begun for seconds, _ in took)


class FakeTracing:
    """Notes the attributes of the spans that begin."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.context = "of the span"

    def begin(self, *_: Any, attributes: dict[str, Any]) -> "FakeTracing":
        self.begun.append(attributes)
        return self

    def end(self, *_: Any, has_failed: bool) -> None:
        assert not has_failed


async def test_a_span_names_the_first_messages_of_a_long_call(bench: Bench):
    tracing: Any = FakeTracing()
    new_apps: Any = bench.new_apps
    script: Any = bench.script
    writer = LogWriter(new_apps, script, LogMetrics(CollectorRegistry()), bench.activity, tracing)
    scope: dict[str, Any] = {"type": "http", "headers": []}
    follow(scope, "of the call")
    with answering(scope):
        await writer.append("a", [write(id_) for id_ in range(25)])
    assert [each["imc.message_id"] for each in tracing.begun] == [[*map(str, range(10))]]
