"""Connections under load are cut, lose replies or published batches, or freeze."""

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
from imc_testkit.stores import Stores
from imc_testkit.variants.broken import TIME
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

BUFFER = {"IMC_GATEWAY_BUFFER_BYTES": "1024"}


async def test_no_push_is_lost_when_pubsub_connections_are_killed(
    load_with: Make, judge: Judge, installation: Deployment, own_stores: Stores
) -> None:
    """Pushes are only delayed. Every gateway gets everything in order, without reconnecting."""
    async with load_with(installation) as load, own_stores.redis() as redis:
        load.begin(disturb=False)
        for _ in range(8):
            await load.more(25)
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
        report = await judge(load, replay=False)
        assert report.is_clean, report
        assert len(load.history.connections) == len(load.gateways)
        assert figures_of(load.history).longest_to_push < 5


async def test_a_lost_last_publish_only_delays_the_push(small: Make, load_small: Make, judge: Judge) -> None:
    """The delay is about the second between two polls of the log."""
    async with (
        small(command_apis=(Start({TIME: "3"}, "loses-a-publish"),)) as deployment,
        load_small(deployment, apps=1, gateways=2) as load,
    ):
        for _ in range(3):
            await load.clients.send(load.clients.draft(load.app_ids[0], with_id=False))
        report = await judge(load, replay=False)
        assert report.is_clean, report
        assert figures_of(load.history).longest_to_push < 3


async def test_work_continues_after_all_connections_are_reset(
    small: Make, load_small: Make, judge: Judge, lone_redis: PrivateRedis, own_mariadb: PrivateMariadb,
    lone_database_url: str,
) -> None:  # fmt: skip
    """As by a load balancer or firewall that drops its state: the processes reconnect."""
    async with (
        tcp_proxy("127.0.0.1", lone_redis.port) as to_redis,
        tcp_proxy("127.0.0.1", own_mariadb.port) as to_mariadb,
    ):
        env = {
            "IMC_REDIS_URL": f"redis://127.0.0.1:{to_redis.port}/0",
            "IMC_DATABASE_URL": lone_database_url.replace(str(own_mariadb.port), str(to_mariadb.port)),
        }
        kinds = {kind: (Start(env),) for kind in ("command_apis", "projectors", "push_nodes", "query_apis")}
        async with small(**kinds) as deployment, load_small(deployment) as load:
            load.begin()
            with load.database_outage():
                for _ in range(5):
                    await load.more(20)
                    to_redis.cut()
                    to_mariadb.cut()
                await load.more(40)
            report = await judge(load)
            assert report.is_clean, report
            await deployment.ready()


async def test_a_send_whose_append_reply_is_lost_can_be_repeated(
    small: Make, load_small: Make, judge: Judge, lone_redis: PrivateRedis
) -> None:
    """The result is unknown. Repeating the send with the same clientMessageId makes no second message."""
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


async def test_a_slow_gateway_and_a_half_open_one_do_not_affect_the_others(
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
        load.begin(disturb=False)
        await load.more(20)
        slow = load.gateways[0]
        slow.stall()
        to_node.freeze()
        await load.more(250)
        stalled_at = slow.cursor
        other = load.gateways[1].connection
        assert other is not None
        assert len(other.frames) > 200
        assert slow.cursor == stalled_at
        to_node.thaw()
        slow.resume_reading()
        load.gateways.append(half_open)
        report = await judge(load, replay=False)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert report.is_clean, report
