"""Worker numbers are leased one owner each, also where leases are lost or stolen."""

from typing import Any

import pytest
from imc_command_api.domain.ids import time_of
from imc_command_api.handlers.ports import IdsUnavailable
from imc_command_api.identity import worker_lease as module
from imc_command_api.identity.snowflake import Snowflakes, wall_clock_ms
from imc_command_api.identity.worker_lease import LEASE_MS, RESERVED_MS, WorkerLease, worker_lease
from imc_contracts import names
from imc_service.redis.masters import Masters
from imc_testkit.waiting import wait_until


@pytest.fixture(autouse=True)
async def no_leases(redis: Any):
    await redis.delete(names.WORKERS)


async def leased(redis: Any, clock: int | None = None) -> tuple[WorkerLease, Snowflakes]:
    ids = Snowflakes((lambda: clock) if clock is not None else wall_clock_ms)
    lease = WorkerLease(Masters(redis), ids)
    await lease.renew()
    return lease, ids


def worker_of(ids: Snowflakes) -> int:
    return (ids.next() >> 12) & 0x3FF


async def reserve(redis: Any, reserved: dict[int, int], ends: int = 0) -> None:
    """Say how far ids were reserved under each number, and when its lease ends."""
    await redis.hset(
        names.WORKERS, mapping={worker: f"someone {ends} {until}" for worker, until in reserved.items()}
    )


async def lease_of(redis: Any, ids: Snowflakes) -> tuple[int, int]:
    """When the lease under which ``ids`` are made ends, and up to which id time they are reserved."""
    _, ends, reserved = (await redis.hget(names.WORKERS, str(worker_of(ids)))).split(b" ")
    return int(ends), int(reserved)


async def redis_ms(redis: Any) -> int:
    seconds, micros = await redis.time()
    return seconds * 1000 + micros // 1000


async def test_a_thousand_owners_have_a_number_each(redis: Any):
    workers = {worker_of((await leased(redis))[1]) for _ in range(1024)}
    assert len(workers) == 1024
    lease, ids = await leased(redis)
    assert not ids.is_leased
    assert "no worker number" in str(await lease.ready())


async def test_a_renewal_keeps_the_number(redis: Any):
    lease, ids = await leased(redis)
    before = worker_of(ids)
    await lease.renew()
    assert worker_of(ids) == before
    assert await redis.hlen(names.WORKERS) == 1


async def test_a_stolen_number_repeats_no_id(redis: Any):
    lease, ids = await leased(redis)
    worker = worker_of(ids)
    made = {ids.next() for _ in range(100)}
    # Its lease runs out unnoticed, and another takes the very number.
    holder, _, reserved = (await redis.hget(names.WORKERS, str(worker)) or b"").split(b" ")
    await redis.hset(names.WORKERS, str(worker), b"%b 0 %b" % (holder, reserved))
    for other in range(1024):
        if other != worker:
            await redis.hset(names.WORKERS, str(other), f"someone {2**52} 0")
    _, thief = await leased(redis)
    assert worker_of(thief) == worker
    made_by_both = made | {ids.next() for _ in range(100)} | {thief.next() for _ in range(100)}
    assert len(made_by_both) == 300
    # The first finds out at its next renewal, and has no number left to take.
    await lease.renew()
    assert (await redis.hget(names.WORKERS, str(worker)) or b"").split(b" ")[0] != holder


async def test_a_clock_that_was_ahead_leaves_no_id_to_repeat(redis: Any):
    ahead = wall_clock_ms() + 3_600_000
    _, ids = await leased(redis, clock=ahead)
    worker, made = worker_of(ids), ids.next()
    for other in range(1024):
        entry = f"someone {2**52} 0" if other != worker else f"gone 0 {ahead + 60_000}"
        await redis.hset(names.WORKERS, str(other), entry)
    _, heir = await leased(redis)
    assert heir.next() > made
    assert time_of(heir.next()) > ahead


NOW = 1_800_000_000_000
HOUR_MS = 3_600_000


async def test_an_heir_begins_after_the_last_reserved_millisecond(redis: Any):
    """The owner before may have used that very millisecond up, and the heir's clock may show it just now."""
    await reserve(redis, dict.fromkeys(range(1024), NOW))
    _, heir = await leased(redis, clock=NOW)
    assert time_of(heir.next()) == NOW + 1


async def test_of_numbers_reserved_ahead_the_one_least_ahead_is_taken(redis: Any):
    """Ids run ahead of the clock no further than they must, and sort by time."""
    ahead = {worker: NOW + HOUR_MS + worker for worker in range(1024)}
    await reserve(redis, ahead | {700: NOW + 1000, 701: NOW + 2000})
    _, first = await leased(redis, clock=NOW)
    _, second = await leased(redis, clock=NOW)
    assert (worker_of(first), time_of(first.next())) == (700, NOW + 1001)
    assert (worker_of(second), time_of(second.next())) == (701, NOW + 2001)


async def test_a_number_reserved_no_further_than_the_clock_comes_before_all_others(redis: Any):
    ahead = dict.fromkeys(range(1024), NOW + 1000)
    await reserve(redis, ahead | {5: NOW - 1})
    _, ids = await leased(redis, clock=NOW)
    assert (worker_of(ids), time_of(ids.next())) == (5, NOW)


async def test_a_lease_that_has_not_ended_is_nobodys_else(redis: Any):
    await reserve(redis, dict.fromkeys(range(1024), 0), ends=await redis_ms(redis) + HOUR_MS)
    await reserve(redis, {9: NOW + HOUR_MS})
    _, ids = await leased(redis, clock=NOW)
    assert worker_of(ids) == 9


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_each_number_is_found_and_none_beyond(redis: Any, monkeypatch: pytest.MonkeyPatch, count: int):
    monkeypatch.setattr(module, "WORKERS", count)
    workers = {worker_of((await leased(redis))[1]) for _ in range(count)}
    assert workers == {*range(count)}
    _, ids = await leased(redis)
    assert not ids.is_leased
    assert await redis.hlen(names.WORKERS) == count


async def test_a_lease_ends_and_ids_are_reserved_when_they_should(redis: Any):
    before = await redis_ms(redis)
    _, ids = await leased(redis, clock=NOW)
    after = await redis_ms(redis)
    ends, reserved = await lease_of(redis, ids)
    assert before + LEASE_MS <= ends <= after + LEASE_MS
    assert reserved == NOW + RESERVED_MS


async def test_what_is_reserved_is_counted_from_where_ids_begin(redis: Any):
    await reserve(redis, dict.fromkeys(range(1024), NOW + HOUR_MS))
    _, ids = await leased(redis, clock=NOW)
    assert (await lease_of(redis, ids))[1] == NOW + HOUR_MS + 1 + RESERVED_MS


async def test_a_clock_that_steps_back_takes_nothing_off_what_is_reserved(redis: Any):
    clock = NOW
    ids = Snowflakes(lambda: clock)
    lease = WorkerLease(Masters(redis), ids)
    await lease.renew()
    made = ids.next()
    clock = NOW - HOUR_MS
    await lease.renew()
    assert (await lease_of(redis, ids))[1] == NOW + RESERVED_MS
    assert ids.next() > made


async def test_ids_are_made_as_far_as_they_are_reserved_and_no_further(redis: Any):
    """What another may begin after, an owner that Redis has not heard from for long must not use."""
    clock = NOW
    ids = Snowflakes(lambda: clock)
    await WorkerLease(Masters(redis), ids).renew()
    clock = NOW + RESERVED_MS
    assert time_of(ids.next()) == clock
    clock += 1
    with pytest.raises(IdsUnavailable):
        ids.next()


def test_a_lease_outlives_renewals_that_fail():
    """Several in a row may fail before a number is lost, or ids run out."""
    assert LEASE_MS >= 10 * module.RENEW_SECONDS * 1000
    assert RESERVED_MS >= 10 * module.RENEW_SECONDS * 1000
    assert module.RETRY_SECONDS < module.RENEW_SECONDS


async def test_a_lease_is_renewed_again_and_again(redis: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 3600)
    async with worker_lease(Masters(redis), ids := Snowflakes()):
        await wait_until(lambda: ids.is_leased)
        for _ in range(3):
            await redis.delete(names.WORKERS)
            await wait_until(lambda: redis.hlen(names.WORKERS))


async def test_a_failure_of_any_kind_is_tried_again_soon(redis: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 3600)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    await redis.set(names.WORKERS, "no hash")
    async with worker_lease(Masters(redis), ids := Snowflakes()) as lease:
        renewals = 0
        renew = lease.renew

        async def counted() -> None:
            nonlocal renewals
            renewals += 1
            if renewals < 3:
                raise LookupError("not of Redis")
            await renew()

        monkeypatch.setattr(lease, "renew", counted)
        await wait_until(lambda: renewals > 3)
        assert "no worker number" in str(await lease.ready())
        await redis.delete(names.WORKERS)
        await wait_until(lambda: ids.is_leased)
        assert await lease.ready() is None


async def test_an_outage_goes_on_until_a_renewal_succeeds(redis: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    async with worker_lease(Masters(redis), ids := Snowflakes()) as lease:
        await wait_until(lambda: ids.is_leased)
        seen, is_away = list[bool](), True
        renew, is_over = lease.renew, lease._outage.is_over  # pyright: ignore[reportPrivateUsage]

        async def renew_or_not() -> None:
            if is_away:
                raise OSError("it is away")
            await renew()

        def noted() -> None:
            seen.append(is_away)
            is_over()

        monkeypatch.setattr(lease._outage, "is_over", noted)  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(lease, "renew", renew_or_not)
        await wait_until(lambda: lease._outage.words)  # pyright: ignore[reportPrivateUsage]
        is_away = False
        await wait_until(lambda: seen)
        assert True not in seen


async def test_a_number_is_looked_for_soon_where_all_are_taken(redis: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 3600)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    await reserve(redis, dict.fromkeys(range(1024), 0), ends=2**52)
    async with worker_lease(Masters(redis), ids := Snowflakes()):
        await redis.delete(names.WORKERS)
        await wait_until(lambda: ids.is_leased)


async def test_an_emptied_redis_gives_the_number_back(redis: Any):
    async with worker_lease(Masters(redis), ids := Snowflakes()) as lease:
        await wait_until(lambda: ids.is_leased)
        await redis.delete(names.WORKERS)
        await lease.renew()
        assert ids.is_leased
        assert await redis.hlen(names.WORKERS) == 1
