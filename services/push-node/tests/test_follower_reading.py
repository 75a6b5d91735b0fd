"""What a follower does with batches that are published while it reads the log."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import Event, EventKind
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream import follower as module
from imc_push_node.stream.delivery import Delivery
from imc_push_node.stream.follower import MAX_PENDING, Follower
from imc_push_node.stream.log_state import LogState, Stretch
from imc_service.retry import Backoff
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.exceptions import ConnectionError as RedisConnectionError

LINE = "line"


def place(number: int) -> EntryId:
    return EntryId(number, 0)


class Log:
    """A log of numbered entries; a read shows it as it was when the read began."""

    def __init__(self) -> None:
        self.last = 1
        self.reads = 0
        self.during: Callable[[], None] = lambda: None
        """What happens while the next read is under way."""
        self.faults: list[Exception] = []

    def state_now(self) -> LogState:
        return LogState(LINE, place(1), place(self.last), 5)

    async def state(self, _app_id: str) -> LogState:
        return self.state_now()

    async def after(self, _app_id: str, start: Cursor) -> Stretch:
        self.reads += 1
        if self.faults:
            raise self.faults.pop()
        state, first = self.state_now(), start.entry.ms
        during, self.during = self.during, lambda: None
        during()
        await asyncio.sleep(0)
        numbers = range(first + 1, state.last.ms + 1)
        entries = [Event(EventKind.MESSAGE_SENT, b"{}").at(place(n)) for n in numbers]
        places = frozenset(place(n) for n in range(first, state.last.ms + 1))
        return Stretch(state, start, places, entries, state.point, is_last=True, is_from_birth=False)


class World:
    """A follower that stands where its log does."""

    def __init__(self) -> None:
        self.log = Log()
        self.registry = CollectorRegistry()
        metrics = NodeMetrics(self.registry)
        self.outbox = (delivery := Delivery(metrics, has_archive=False)).outbox
        log: Any = self.log
        self.follower = Follower("a", log, delivery, metrics)

    @property
    def told(self) -> int:
        return self.outbox.head.entry.ms

    def publish(self, number: int, *, prev: int | None = None) -> None:
        """Append an entry to the log, and publish it."""
        before = self.log.last if prev is None else prev
        self.log.last = max(self.log.last, number)
        self.follower.on_published(b"%b %d-0\n%d-0 s {}" % (LINE.encode(), before, number))


@pytest.fixture
async def world() -> World:
    world = World()
    world.follower.resync()
    await world.follower.settled()
    assert world.told == 1
    return world


async def test_what_is_heard_before_the_subscription_is_confirmed_is_read_then() -> None:
    """As from the subscription of the same app that was let go a moment ago."""
    world = World()
    for number in (2, 3):
        world.publish(number)
    assert not world.outbox.has_begun
    world.follower.resync()
    await world.follower.settled()
    world.publish(4)
    assert (world.told, world.log.reads) == (4, 0)


async def test_what_follows_is_told_without_a_read(world: World) -> None:
    for number in (2, 3, 4):
        world.publish(number)
        assert world.told == number
    world.publish(3, prev=2)
    assert world.told == 4
    assert world.log.reads == 0


async def test_what_is_published_while_the_log_is_read_is_told_with_its_end(world: World) -> None:
    """It came after what the read shows, and nothing else would tell of it."""
    world.log.last = 5
    world.log.during = lambda: world.publish(6)
    world.follower.resync()
    await world.follower.settled()
    assert (world.told, world.log.reads) == (6, 1)
    world.publish(7)
    assert (world.told, world.log.reads) == (7, 1)


async def test_a_hole_is_filled_from_the_log(world: World) -> None:
    world.log.last = 4
    world.publish(5)
    assert world.told == 1
    await world.follower.settled()
    assert (world.told, world.log.reads) == (5, 1)


async def test_a_hole_in_what_was_published_meanwhile_is_read_once_more(world: World) -> None:
    def during() -> None:
        world.log.last = 8
        world.publish(9)

    world.log.last, world.log.during = 5, during
    world.follower.resync()
    await world.follower.settled()
    assert (world.told, world.log.reads) == (9, 2)


async def test_more_than_can_be_kept_meanwhile_is_read_once_more(world: World) -> None:
    def during() -> None:
        for _ in range(MAX_PENDING + 1):
            world.publish(world.log.last + 1)

    world.log.during = during
    world.follower.resync()
    await world.follower.settled()
    assert (world.told, world.log.reads) == (MAX_PENDING + 2, 2)


async def test_as_much_as_can_be_kept_meanwhile_is_read_once(world: World) -> None:
    def during() -> None:
        for _ in range(MAX_PENDING):
            world.publish(world.log.last + 1)

    world.log.during = during
    world.follower.resync()
    await world.follower.settled()
    assert (world.told, world.log.reads) == (MAX_PENDING + 1, 1)


@pytest.mark.parametrize("fault", [RedisConnectionError("gone"), TimeoutError(), RuntimeError("of ours")])
async def test_a_read_that_fails_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr(module, "BACKOFF", Backoff(0.01))
    world.log.last, world.log.faults = 5, [fault, fault]
    world.follower.resync()
    await asyncio.sleep(0)
    assert world.told == 1
    await wait_until(lambda: world.told == 5)
    assert world.log.reads == 3


async def test_what_is_no_batch_is_skipped_and_counted(world: World) -> None:
    world.follower.on_published(b"nonsense")
    assert world.registry.get_sample_value("imc_entries_skipped_total") == 1
    assert (world.told, world.log.reads) == (1, 0)


async def test_a_check_certifies_only_what_is_certain(world: World) -> None:
    head = world.outbox.head
    assert world.follower.check(world.log.state_now(), head)
    world.log.last = 2
    assert not world.follower.check(world.log.state_now(), head)
    # While it is read, nothing is certain.
    assert not world.follower.check(world.log.state_now(), head)
    await world.follower.settled()
    assert world.told == 2
    assert world.follower.check(world.log.state_now(), world.outbox.head)
