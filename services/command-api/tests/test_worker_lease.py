"""Worker numbers are leased one owner each, also where leases are lost or stolen."""

from typing import Any

import pytest
from imc_command_api.identity.snowflake import Snowflakes, time_of, wall_clock_ms
from imc_command_api.identity.worker_lease import WorkerLease, worker_lease
from imc_contracts import names
from imc_testkit.waiting import wait_until


@pytest.fixture(autouse=True)
async def no_leases(redis: Any):
    await redis.delete(names.WORKERS)


async def leased(redis: Any, clock: int | None = None) -> tuple[WorkerLease, Snowflakes]:
    ids = Snowflakes((lambda: clock) if clock is not None else wall_clock_ms)
    lease = WorkerLease(redis, ids)
    await lease.renew()
    return lease, ids


def worker_of(ids: Snowflakes) -> int:
    return (ids.next() >> 12) & 0x3FF


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


async def test_an_emptied_redis_gives_the_number_back(redis: Any):
    async with worker_lease(redis, ids := Snowflakes()) as lease:
        await wait_until(lambda: ids.is_leased)
        await redis.delete(names.WORKERS)
        await lease.renew()
        assert ids.is_leased
        assert await redis.hlen(names.WORKERS) == 1
