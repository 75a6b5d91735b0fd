"""What ends a connection for Pub/Sub ends no more than that."""

import asyncio
import contextlib
from typing import Any

import pytest
import uvloop
from imc_push_node.pubsub.connection import PubSubConnection, connected
from imc_service.redis import client as redis_client
from imc_service.redis.connections import packed
from redis.exceptions import ConnectionError as Disconnected


def hear(_kind: bytes, _channel: bytes, _payload: Any) -> None:
    pass


async def ended(link: PubSubConnection, redis: Any) -> None:
    """Let Redis hang up."""
    (own_id,) = await link.ask(packed("CLIENT", "ID"), 1)
    await redis.client_kill_filter(_id=own_id)
    with pytest.raises(Disconnected):
        await link.ended()
    await asyncio.sleep(0)  # for the loop to close the transport, after it has told its protocol


def test_what_is_written_after_the_end_is_dropped(redis_url: str) -> None:
    async def write() -> None:
        redis = redis_client.connect(redis_url)
        async with contextlib.aclosing(redis), connected(redis, hear) as link:
            await ended(link, redis)
            link.ping(0)
            link.send("SSUBSCRIBE", "channel")
            with pytest.raises(Disconnected):
                await link.ask(b"", 1)

    uvloop.run(write())  # whose closed transports raise what is no error of a connection
