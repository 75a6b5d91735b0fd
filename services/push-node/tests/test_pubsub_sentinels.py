"""Pub/Sub where sentinels watch the master."""

import contextlib
from typing import Any

import pytest
from imc_contracts import names
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_service import background
from imc_service.redis import masters as redis_masters
from imc_testkit.redis_sentinels import PrivateSentinels, private_sentinels
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis


class Listener:
    """Counts the confirmed subscriptions."""

    def __init__(self) -> None:
        self.subscribed = 0

    def on_subscribed(self) -> None:
        self.subscribed += 1

    def on_message(self, payload: bytes) -> None:
        pass


async def listeners(sentinels: PrivateSentinels, port: int, channel: str) -> int:
    [server] = [server for server in sentinels.servers if server.port == port]
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        redis_: Any = redis
        ((_, count),) = await redis_.pubsub_shardnumsub(channel)
        return count


@pytest.mark.timeout(120)
async def test_a_master_that_was_replaced_is_left_though_it_goes_on() -> None:
    """It would publish what is lost when it becomes a replica."""
    app_id, listener = "app", Listener()
    shard, channel = names.shard_of(app_id), names.live(app_id, 0)
    async with (
        private_sentinels() as sentinels,
        contextlib.aclosing(redis_masters.connect(sentinels.url)) as masters,
    ):
        subscriber = Subscriber(masters, NodeMetrics(CollectorRegistry()).subscriptions)
        old = await sentinels.master()
        subscriber.subscribe(shard, channel, listener)
        async with background.running(subscriber.run()):
            await wait_until(lambda: listener.subscribed)
            assert await listeners(sentinels, old.port, channel) == 1
            new = await sentinels.fail_over()
            await masters.follow()
            await wait_until(lambda: listener.subscribed == 2, what="the subscription at the new master")
            assert await listeners(sentinels, new.port, channel) == 1
            assert await listeners(sentinels, old.port, channel) == 0
