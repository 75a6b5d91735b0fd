"""Which logs the projector reads, whatever state Redis is in."""

from typing import Any

from imc_command_api.projector.reader import LogReader
from imc_service.redis import client as redis_client
from imc_testkit.servers import private_redis


async def test_a_log_is_read_although_redis_is_out_of_memory(feed_of: Any, history_of: Any, app_id: str):
    """By a projector that has only just come to know of it: it may not make what is there already."""
    async with private_redis() as server:
        redis: Any = redis_client.connect(server.url)
        feed, history = feed_of(redis, app_id), history_of(app_id)
        await feed.append([history.sent(history.message())])
        assert len(await LogReader(redis, redis, "one", 60_000).read()) == 1
        await feed.append([history.sent(history.message()) for _ in range(3)])
        await redis.config_set("maxmemory", "1")
        assert len(await LogReader(redis, redis, "two", 60_000).read()) == 3
        await redis.aclose()
