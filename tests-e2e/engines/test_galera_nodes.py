"""Nodes of a Galera cluster die, hang and are cut off under load: nothing is lost, each row is there once.

ENGINES=1 (`make engines`) does it at random for MINUTES, by default 10.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

import pytest
from imc_testkit import databases
from imc_testkit.deployment import Deployment
from imc_testkit.figures import figures_of
from imc_testkit.galera import GaleraCluster, GaleraNode, node_url
from imc_testkit.load import Load, load_on
from imc_testkit.servers import PrivateRedis
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

IS_LONG = bool(os.environ.get("ENGINES"))
MINUTES = float(os.environ.get("MINUTES", "10"))
SEED = int(os.environ.get("SEED", "1"))
SETTLE_SECONDS = 120.0

WRONG_TOTALS = """
    SELECT g.app_id, g.group_id, g.message_total
    FROM imc_group g
    WHERE g.message_total <> (
        SELECT COUNT(*) FROM imc_message m WHERE m.app_id = g.app_id AND m.group_id = g.group_id
    )
"""
GROUPS_WITHOUT_TOTAL = """
    SELECT DISTINCT m.app_id, m.group_id FROM imc_message m
    WHERE (m.app_id, m.group_id) NOT IN (SELECT app_id, group_id FROM imc_group)
"""
ALL_ROWS = "SELECT * FROM imc_message ORDER BY app_id, message_id"

Fault = Callable[[GaleraNode, float], Awaitable[None]]


async def killed(node: GaleraNode, seconds: float) -> None:
    await node.kill()
    await asyncio.sleep(seconds)
    await node.start()


async def restarted(node: GaleraNode, seconds: float) -> None:
    await node.stop()
    await asyncio.sleep(seconds)
    await node.start()


async def hung(node: GaleraNode, seconds: float) -> None:
    node.pause()
    await asyncio.sleep(seconds)
    node.resume()


async def cut_off(node: GaleraNode, seconds: float) -> None:
    """It reaches no other node, and clients reach it."""
    await node.isolate()
    await asyncio.sleep(seconds)
    await node.rejoin()


FAULTS: dict[str, Fault] = {"killed": killed, "restarted": restarted, "hung": hung, "cut off": cut_off}


@pytest.fixture
def stores(cluster: GaleraCluster, log_server: PrivateRedis) -> Stores:
    return Stores(log_server.url, node_url(cluster.nodes[0], "imc"))


@pytest.mark.timeout(300)
async def test_a_node_that_is_killed_costs_nothing(
    cluster: GaleraCluster, installation: Deployment, stores: Stores
) -> None:
    async with load_on(installation, stores, seed=SEED, apps=2, gateways=2) as load:
        load.begin(disturb=False)
        await load.more(50)
        with load.database_outage():
            await cluster.nodes[0].kill()
            await load.more(50)
            for process in installation.processes:
                await process.ready()
            await cluster.nodes[0].start()
            await cluster.synced()
        await load.more(50)
        await judge(load, cluster)


@pytest.mark.skipif(not IS_LONG, reason="it runs for minutes: make engines")
@pytest.mark.timeout(MINUTES * 60 + 600)
async def test_nodes_that_die_hang_and_are_cut_off_at_random_cost_nothing(
    cluster: GaleraCluster, installation: Deployment, stores: Stores
) -> None:
    random = Random(SEED)
    done: Counter[str] = Counter()
    worst = 0.0
    async with load_on(installation, stores, seed=SEED, apps=3, gateways=3, listed=1) as load:
        load.begin()
        deadline = time.monotonic() + MINUTES * 60
        while time.monotonic() < deadline:
            await load.more(random.randrange(20, 100), 120)
            # The fault happens while it is carried out.
            done["erasure"] += await load.sometimes_erase(random)
            name, node = random.choice(sorted(FAULTS)), random.choice(cluster.nodes)
            load.note(f"{node.name} {name}")
            with load.database_outage():
                await FAULTS[name](node, random.choice((0.2, 1.0, 3.0, 10.0, 20.0)))
                ended = time.monotonic()
                await asyncio.gather(*(process.ready() for process in installation.processes))
                worst = max(worst, time.monotonic() - ended)
                await cluster.synced()
            done[name] += 1
        await load.erasures_done(SETTLE_SECONDS)
        await judge(load, cluster)
    print(f"{dict(done)}, at most {worst:.1f} s from the end of one until all were ready")  # noqa: T201


async def judge(load: Load, cluster: GaleraCluster) -> None:
    """Everything that was acknowledged is there once, on each node, and is counted."""
    report = await load.finish(SETTLE_SECONDS)
    print(f"seed {load.history.seed}: {figures_of(load.history)}\n{report}")  # noqa: T201
    assert report.is_clean, report
    for node in cluster.nodes:
        url = node_url(node, "imc")
        assert await databases.run(url, WRONG_TOTALS) == []
        assert await databases.run(url, GROUPS_WITHOUT_TOTAL) == []
    await wait_until(lambda: have_the_same(cluster), what="all nodes to have the same rows")


async def have_the_same(cluster: GaleraCluster) -> bool:
    first, *others = [await databases.run(node_url(node, "imc"), ALL_ROWS) for node in cluster.nodes]
    return bool(first) and all(rows == first for rows in others)
