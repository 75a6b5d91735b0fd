"""The leases of the nodes that gateways may be pinned to, as they stand in Redis."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_contracts import names
from imc_contracts.errors import Refused
from imc_push_node.cluster import membership
from imc_push_node.cluster.membership import Membership
from imc_service.health import Readiness
from imc_service.redis import client as redis_client
from imc_service.redis.masters import Masters
from imc_testkit.servers import private_redis
from imc_testkit.waiting import wait_until

LEASE_MS = 5000
OWN, OTHER = "ws://own:8003", "ws://other:8003"


@pytest.fixture(scope="module")
async def empty_redis() -> AsyncGenerator[Any]:
    async with private_redis() as server, contextlib.aclosing(redis_client.connect(server.url)) as redis:
        yield redis


@pytest.fixture
async def leases(empty_redis: Any) -> Any:
    await empty_redis.delete(names.PUSH_NODES)
    return empty_redis


async def now_ms(redis: Any) -> int:
    seconds, microseconds = await redis.time()
    return seconds * 1000 + microseconds // 1000


def url_of(member: Membership) -> str | None:
    """Where the one node that is known is; None if none is."""
    try:
        return member.home_of("app", "gateway")["url"]
    except Refused:
        return None


def test_a_lease_outlives_renewals_that_fail() -> None:
    assert 3 * membership.RENEW_SECONDS <= membership.LEASE_SECONDS == LEASE_MS / 1000


async def test_a_node_that_died_is_pinned_to_for_five_seconds(leases: Any) -> None:
    """Each renewal takes a lease for that long by the clock of Redis."""
    member = Membership(Masters(leases), Readiness(), OWN)
    for _ in range(3):
        before = await now_ms(leases)
        await member._renew()
        after = await now_ms(leases)
        ends = await leases.zscore(names.PUSH_NODES, OWN)
        assert before <= ends - LEASE_MS <= after
    assert url_of(member) == OWN


async def test_a_lease_that_ran_out_is_nobodys(leases: Any) -> None:
    member = Membership(Masters(leases), Readiness(), None)
    await leases.zadd(names.PUSH_NODES, {OTHER: await now_ms(leases) + LEASE_MS})
    await member._renew()
    assert url_of(member) == OTHER
    await leases.zadd(names.PUSH_NODES, {OTHER: await now_ms(leases) - 1})
    await member._renew()
    assert url_of(member) is None
    assert not await leases.exists(names.PUSH_NODES)


async def test_a_node_without_an_address_takes_no_lease_and_ends_none(leases: Any) -> None:
    await leases.zadd(names.PUSH_NODES, {OTHER: await now_ms(leases) + LEASE_MS})
    await Membership(Masters(leases), Readiness(), None)._renew()
    assert await leases.zrange(names.PUSH_NODES, 0, -1) == [OTHER.encode()]


async def test_one_that_is_not_ready_gives_up_its_own_lease_alone(leases: Any) -> None:
    readiness = Readiness()
    member = Membership(Masters(leases), readiness, OWN)
    await leases.zadd(names.PUSH_NODES, {OTHER: await now_ms(leases) + LEASE_MS})
    await member._renew()
    assert await leases.zcard(names.PUSH_NODES) == 2
    readiness.retire("the end")
    await member._renew()
    assert await leases.zrange(names.PUSH_NODES, 0, -1) == [OTHER.encode()]
    assert url_of(member) == OTHER


async def test_an_answer_is_good_for_as_long_as_a_lease(leases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    member, now = Membership(Masters(leases), Readiness(), OWN), 1000.0
    monkeypatch.setattr(membership, "_now", lambda: now)
    await member._renew()
    now += membership.LEASE_SECONDS
    assert url_of(member) == OWN
    now += 0.001
    assert url_of(member) is None


async def test_renewing_goes_on_whatever_fails(leases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "RENEW_SECONDS", 0.01)
    member = Membership(Masters(leases), Readiness(), OWN)
    renew, faults = member._renew, [OSError("gone"), ValueError("a fault of ours")]

    async def renew_with_faults() -> None:
        if faults:
            raise faults.pop()
        await renew()

    monkeypatch.setattr(member, "_renew", renew_with_faults)
    running = asyncio.create_task(member.run())
    assert await wait_until(lambda: url_of(member)) == OWN
    running.cancel()
