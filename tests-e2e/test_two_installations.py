"""Two installations that share a Redis and a MariaDB, each with a database of its own: as if they did not."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import httpx
import pytest
from imc_testkit.databases import new_database
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.gateway import connect
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateRedis, private_redis
from redis.asyncio import Redis


@pytest.fixture(scope="module")
async def server() -> AsyncGenerator[PrivateRedis]:
    async with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
async def installations(
    server: PrivateRedis, database_server_url: str
) -> AsyncGenerator[tuple[Deployment, Deployment]]:
    one = [Start()]
    async with AsyncExitStack() as stack:
        deployments: list[Deployment] = []
        for number in (1, 2):
            database_url = await stack.enter_async_context(new_database(database_server_url))
            await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
            redis_url = f"redis://127.0.0.1:{server.port}/{number}"
            deployment = separate(
                redis_url, database_url, command_apis=one, projectors=one, query_apis=one, push_nodes=one
            )
            deployments.append(await stack.enter_async_context(deployment))
        yield deployments[0], deployments[1]


async def send(http: httpx.AsyncClient, deployment: Deployment, app_id: str, content: str) -> None:
    body = {"appId": app_id, "groupId": "g", "userId": "u", "content": content}
    reply = await http.post(deployment.command_apis[0].url + "/v1/commands/send-message", json=body)
    assert reply.status_code == 200, reply.text


async def test_the_same_app_and_gateway_in_both_are_two(
    installations: tuple[Deployment, Deployment], server: PrivateRedis, http: httpx.AsyncClient, app_id: str
):
    first, second = installations
    async with (
        connect(first.push_nodes[0].url, app_id, "gateway") as of_first,
        connect(second.push_nodes[0].url, app_id, "gateway") as of_second,
    ):
        for gateway in (of_first, of_second):
            await gateway.wait_for_code(2000)
        for deployment, gateway, other in ((first, of_first, of_second), (second, of_second, of_first)):
            for content in ("one", "two"):
                await send(http, deployment, app_id, content)
            await gateway.wait_for_code(2001, 2)
            assert other.close_code is None
        for gateway in (of_first, of_second):
            assert [frame["data"]["content"] for frame in gateway.with_code(2001)] == ["one", "two"]
        async with connect(second.push_nodes[0].url, app_id, "gateway") as again:
            await again.wait_for_code(2000)
            assert await of_second.wait_closed() == 4409
            await send(http, first, app_id, "three")
            await of_first.wait_for_code(2001, 3)
            assert of_first.close_code is None
            assert again.with_code(2001) == []
    # Every channel that is listened to bears the number of its database, and the third one is untouched.
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        everything = {name.decode() for name in await redis.pubsub_shardchannels()}  # pyright: ignore
        assert {name.rpartition(":")[2] for name in everything} == {"1", "2"}
        assert await redis.dbsize() == 0  # pyright: ignore


async def test_one_that_is_emptied_is_the_only_one(
    installations: tuple[Deployment, Deployment], server: PrivateRedis, http: httpx.AsyncClient, app_id: str
):
    first, second = installations
    async with (
        connect(first.push_nodes[0].url, app_id, "gateway") as of_first,
        connect(second.push_nodes[0].url, app_id, "gateway") as of_second,
    ):
        for deployment, gateway in ((first, of_first), (second, of_second)):
            await gateway.wait_for_code(2000)
            await send(http, deployment, app_id, "before")
            await gateway.wait_for_code(2001)
        async with Redis.from_url(f"redis://127.0.0.1:{server.port}/1") as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.flushdb()  # pyright: ignore
        await of_first.wait_for_code(4002)
        await send(http, second, app_id, "after")
        await of_second.wait_for_code(2001, 2)
        assert of_second.with_code(4002) == []
