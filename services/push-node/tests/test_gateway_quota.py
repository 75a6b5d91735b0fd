"""The slots of gateways under a quota: who is given one, how long it lasts, and when it is given back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import pytest
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_push_node.cluster import gateway_quota
from imc_push_node.cluster.gateway_quota import KEEP_MS, GatewayQuota
from imc_push_node.gateway.gateway import Transport
from imc_service.redis.masters import Masters
from imc_testkit.policies import policies_of, quotas_text
from imc_testkit.waiting import wait_until
from prometheus_client import Counter
from redis.asyncio import Redis


@dataclass(eq=False)
class FakeGateway:
    app_id: str
    gateway_id: str
    is_replaced: bool = False
    transport: Transport = Transport.WEBSOCKET


class Node:
    """A node, as far as the slots of one app are concerned: who is here, and who leaves."""

    def __init__(self, redis: Redis, app_id: str, most: int | None) -> None:
        self.refusals = Counter("refusals", "Handshakes that were refused.", registry=None)
        self.app_id = app_id
        policies = policies_of(quotas_text({} if most is None else {app_id: {"gateways": most}}))
        self.gateway_quota = GatewayQuota(Masters(redis), policies, self.refusals)

    async def come(self, gateway_id: str) -> FakeGateway:
        """Take a slot, and be here from then on."""
        await self.gateway_quota.take(self.app_id, gateway_id)
        return self.enter(gateway_id)

    def enter(self, gateway_id: str) -> FakeGateway:
        """Be here, with or without a slot."""
        gateway = FakeGateway(self.app_id, gateway_id)
        self.gateway_quota.enter(gateway, gateway_id)  # pyright: ignore[reportArgumentType]
        return gateway

    def go(self, gateway: FakeGateway) -> None:
        """Leave."""
        self.gateway_quota.leave(gateway)  # pyright: ignore[reportArgumentType]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.gateway_quota.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def taken(app_log: Any) -> dict[str, float]:
    """The slots that are taken, each with the time when it runs out."""
    pairs = await app_log.redis.zrange(names.gateway_slots(app_log.app_id), 0, -1, withscores=True)
    return {gateway_id.decode(): until for gateway_id, until in pairs}


async def wait_until_taken(app_log: Any, *gateway_ids: str) -> None:
    async def is_so() -> bool:
        return set(await taken(app_log)) == set(gateway_ids)

    await wait_until(is_so, what=f"slots of {gateway_ids}")


def test_a_place_outlives_two_confirmations_that_fail() -> None:
    assert 3 * gateway_quota.CONFIRM_SECONDS * 1000 <= KEEP_MS


async def test_a_place_is_kept_for_half_a_minute(app_log: Any) -> None:
    before = time.time() * 1000
    await Node(app_log.redis, app_log.app_id, 1).come("one")
    after = time.time() * 1000
    until = (await taken(app_log))["one"]
    assert before - 1 <= until - 30_000 <= after
    assert 0 < await app_log.redis.pttl(names.gateway_slots(app_log.app_id)) <= 30_000


async def test_as_many_are_let_in_as_the_quota_says(app_log: Any) -> None:
    node = Node(app_log.redis, app_log.app_id, 2)
    await node.come("one")
    await node.come("two")
    with pytest.raises(Refused, match="the quota of 2 gateways") as refused:
        await node.come("three")
    assert refused.value.code == ErrorCode.QUOTA_USED_UP
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= KEEP_MS / 1000, "no slot stays taken for longer without cause"
    assert node.refusals._value.get() == 1
    assert set(await taken(app_log)) == {"one", "two"}, "who was refused takes no slot"
    await node.come("one")
    assert set(await taken(app_log)) == {"one", "two"}, "one that comes again has its slot still"


async def test_a_place_that_ran_out_is_given_to_another(app_log: Any) -> None:
    """It was a gateway's of a node that died."""
    key, now = names.gateway_slots(app_log.app_id), int(time.time() * 1000)
    await app_log.redis.zadd(key, {"dead": now - 1, "alive": now + 20_000})
    node = Node(app_log.redis, app_log.app_id, 2)
    await node.come("one")
    assert set(await taken(app_log)) == {"alive", "one"}
    with pytest.raises(Refused):
        await node.come("two")


async def test_an_app_without_a_quota_leaves_no_trace(app_log: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_quota, "CONFIRM_SECONDS", 0.0)
    free = Node(app_log.redis, app_log.app_id, None)
    async with free.running():
        await free.come("one")
        free.go(await free.come("two"))
        assert not free.gateway_quota._returned
        # What a node with a quota does in the same time is to be seen.
        limited = Node(app_log.redis, f"{app_log.app_id}-limited", 1)
        limited.enter("one")
        async with limited.running():
            await wait_until(lambda: app_log.redis.exists(names.gateway_slots(limited.app_id)))
        assert not await taken(app_log)


async def test_a_redis_that_is_out_of_reach_keeps_nobody_out(app_id: str) -> None:
    async with Redis.from_url("redis://127.0.0.1:9") as nowhere:  # pyright: ignore[reportUnknownMemberType]
        node = Node(nowhere, app_id, 0)
        await node.come("one")
        assert node.refusals._value.get() == 0


async def test_who_leaves_gives_its_place_back(app_log: Any) -> None:
    node = Node(app_log.redis, app_log.app_id, 3)
    async with node.running():
        one = await node.come("one")
        await node.come("two")
        node.go(one)
        await wait_until_taken(app_log, "two")


async def test_a_poll_that_was_answered_keeps_its_place(app_log: Any) -> None:
    """It is about to ask again."""
    node = Node(app_log.redis, app_log.app_id, 3)
    async with node.running():
        poll, other = await node.come("poll"), await node.come("other")
        poll.transport = Transport.POLL
        node.go(poll)
        node.go(other)
        await wait_until_taken(app_log, "poll")


@pytest.mark.parametrize("successor", ["is here", "is at another node"])
async def test_the_place_of_one_that_was_replaced_is_its_successors(app_log: Any, successor: str) -> None:
    node, other = (Node(app_log.redis, app_log.app_id, 3) for _ in range(2))
    older, leaving = await node.come("one"), await node.come("two")
    await (node if successor == "is here" else other).come("one")
    older.is_replaced = successor != "is here"  # it may have left by itself as the newer one came
    async with node.running():
        node.go(older)
        node.go(leaving)
        await wait_until_taken(app_log, "one")


async def test_the_places_of_those_who_stay_are_confirmed(
    app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_quota, "CONFIRM_SECONDS", 0.01)
    node, key = Node(app_log.redis, app_log.app_id, 1), names.gateway_slots(app_log.app_id)
    before = time.time() * 1000
    await node.come("one")
    async with node.running():
        for _ in range(3):
            await app_log.redis.delete(key)
            await wait_until_taken(app_log, "one")
            assert before - 1 <= (await taken(app_log))["one"] - KEEP_MS <= time.time() * 1000
            assert 0 < await app_log.redis.pttl(key) <= KEEP_MS


async def test_a_departure_costs_the_others_no_confirmation(
    app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many slots as there are would be written anew with each that is given back."""
    monkeypatch.setattr(gateway_quota, "CONFIRM_SECONDS", 3600.0)
    node, key = Node(app_log.redis, app_log.app_id, 9), names.gateway_slots(app_log.app_id)
    stays, *leaving = [await node.come(gateway_id) for gateway_id in ("stays", "one", "two", "three")]
    await app_log.redis.zrem(key, stays.gateway_id)

    async def is_left(gateway: FakeGateway) -> bool:
        return gateway.gateway_id not in await taken(app_log)

    async with node.running():
        node.go(leaving[0])
        await wait_until_taken(app_log, "stays", "two", "three")  # the first wake-up confirms as well
        await app_log.redis.zrem(key, stays.gateway_id)
        for gateway in leaving[1:]:
            node.go(gateway)
            await wait_until(lambda gateway=gateway: is_left(gateway))
        assert not await taken(app_log)


async def test_confirming_goes_on_after_a_fault_of_redis(
    app_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_quota, "CONFIRM_SECONDS", 0.01)
    node, key = Node(app_log.redis, app_log.app_id, 1), names.gateway_slots(app_log.app_id)
    confirm, attempts = node.gateway_quota._confirmations, list[None]()

    def counted() -> Any:
        attempts.append(None)
        return confirm()

    monkeypatch.setattr(node.gateway_quota, "_confirmations", counted)
    await app_log.redis.set(key, "of another type")
    await node.come("one")
    async with node.running():
        await wait_until(lambda: len(attempts) > 1, what="an attempt after the one that failed")
        await app_log.redis.delete(key)
        await wait_until_taken(app_log, "one")
