"""Connections are cut, swallow replies, lose a publish or stop moving, under load."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment, Start
from imc_testkit.figures import figures_of
from imc_testkit.gateways import RecordedGateway
from imc_testkit.history import Answer
from imc_testkit.proxy import tcp_proxy
from imc_testkit.servers import PrivateMariadb, PrivateRedis
from imc_testkit.settling import Stores
from imc_testkit.variants.broken import TIME
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

BUFFER = {"IMC_GATEWAY_BUFFER_BYTES": "1024"}


async def test_pubsub_connections_are_killed_again_and_again(
    load_with: Make, judge: Judge, installation: Deployment, own_stores: Stores
) -> None:
    """Delay only: every gateway has everything, in order, on the one connection it has."""
    async with load_with(installation) as load, own_stores.redis() as redis:
        load.begin(unrest=False)
        for _ in range(8):
            await load.more(25)
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
        report = await judge(load, replay=False)
        assert report.is_clean, report
        assert len(load.history.connections) == len(load.gateways)
        assert figures_of(load.history).longest_to_push < 5


async def test_the_last_publish_is_lost(small: Make, load_small: Make, judge: Judge) -> None:
    """Delay only, of about the second between two looks at the log's end."""
    async with (
        small(command_apis=(Start({TIME: "3"}, "loses-a-publish"),)) as deployment,
        load_small(deployment, apps=1, gateways=2) as load,
    ):
        for _ in range(3):
            await load.clients.send(load.clients.draft(load.app_ids[0], with_id=False))
        report = await judge(load, replay=False)
        assert report.is_clean, report
        assert figures_of(load.history).longest_to_push < 3


async def test_all_connections_are_reset(
    small: Make, load_small: Make, judge: Judge, lone_redis: PrivateRedis, own_mariadb: PrivateMariadb,
    own_database_url: str,
) -> None:  # fmt: skip
    """As by a load balancer or a firewall that forgets: whoever used them goes on with new ones."""
    async with (
        tcp_proxy("127.0.0.1", lone_redis.port) as to_redis,
        tcp_proxy("127.0.0.1", own_mariadb.port) as to_mariadb,
    ):
        env = {
            "IMC_REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "IMC_DATABASE_URL": own_database_url.replace(str(own_mariadb.port), str(to_mariadb.port)),
        }
        kinds = {kind: (Start(env),) for kind in ("command_apis", "projectors", "push_nodes", "query_apis")}
        async with small(**kinds) as deployment, load_small(deployment) as load:
            load.begin()
            with load.database_away():
                for _ in range(5):
                    await load.more(20)
                    to_redis.cut()
                    to_mariadb.cut()
                await load.more(40)
            report = await judge(load)
            assert report.is_clean, report
            await deployment.ready()


async def test_the_reply_to_an_append_is_lost(
    small: Make, load_small: Make, judge: Judge, lone_redis: PrivateRedis
) -> None:
    """The end is unknown and said to be; repeating it with its own id makes no second message."""
    async with tcp_proxy("127.0.0.1", lone_redis.port) as to_redis:
        start = Start({"IMC_REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0"})
        async with (
            small(command_apis=(start,)) as deployment,
            load_small(deployment, apps=1, gateways=1) as load,
        ):
            clients, app_id = load.clients, load.app_ids[0]
            await clients.send(clients.draft(app_id, with_id=False))
            with_id, without = (clients.draft(app_id, with_id=with_id) for with_id in (True, False))
            to_redis.swallow_replies()
            lost = await clients.send_batch([with_id, without])
            to_redis.pass_replies()
            assert [attempt.answer for attempt in lost] == [Answer.UNKNOWN] * 2
            await deployment.ready()
            assert (await clients.send(with_id)).answer is Answer.ACKNOWLEDGED
            report = await judge(load)
            assert report.is_clean, report
            assert len(load.rows) == 3


async def test_a_slow_gateway_and_a_half_open_one_leave_the_others_alone(
    small: Make, load_small: Make, judge: Judge
) -> None:
    async with (
        small(push_nodes=(Start(BUFFER),)) as deployment,
        load_small(deployment, apps=1, gateways=3) as load,
        tcp_proxy("127.0.0.1", deployment.push_nodes[0].port) as to_node,
    ):
        half_open_nodes = [f"http://127.0.0.1:{to_node.port}"]
        half_open = RecordedGateway(half_open_nodes, load.history, load.clients, load.app_ids[0], "half-open")
        running = asyncio.create_task(half_open.run())
        await wait_until(lambda: half_open.connection)
        load.begin(unrest=False)
        await load.more(20)
        slow = load.gateways[0]
        slow.stall()
        to_node.freeze()
        await load.more(250)
        stalled_at = slow.cursor
        told = load.gateways[1].connection
        assert told is not None
        assert len(told.frames) > 200
        assert slow.cursor == stalled_at
        to_node.thaw()
        slow.go_on()
        load.gateways.append(half_open)
        report = await judge(load, replay=False)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert report.is_clean, report
