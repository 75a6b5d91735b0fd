"""Masters of a Redis Cluster, and one that sentinels watch, die and hang under load; slots move.

What sends are acknowledged for after a replica has them (IMC_ACK_REPLICAS=1) is not lost. ENGINES=1
(`make engines`) does it at random for MINUTES, by default 10.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from pathlib import Path
from random import Random

import pytest
from imc_contracts import names
from imc_testkit.deployment import Deployment, Start, separate
from imc_testkit.faults.redis_sets import SetFault, of_cluster, of_sentinels
from imc_testkit.figures import figures_of
from imc_testkit.history import Answer
from imc_testkit.load import Load, load_on
from imc_testkit.redis_cluster import ClusterNode, PrivateCluster, private_cluster
from imc_testkit.redis_sentinels import PrivateSentinels, private_sentinels
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until
from redis.crc import key_slot
from redis_users import ADMINISTRATOR, account

IS_LONG = bool(os.environ.get("ENGINES"))
MINUTES = float(os.environ.get("MINUTES", "10"))
SEED = int(os.environ.get("SEED", "1"))
SETTLE_SECONDS = 120.0
READY_SECONDS = 10.0
HUNG_SECONDS = 8.0

QUICK = {"IMC_DRAIN_SECONDS": "0.5", "IMC_LINGER_SECONDS": "1"}
SAFE = {"IMC_ACK_REPLICAS": "1"}


@pytest.fixture(scope="module")
async def shared_cluster(users: Path) -> AsyncGenerator[PrivateCluster]:
    async with private_cluster("--aclfile", str(users), account=account(ADMINISTRATOR)) as cluster:
        yield cluster


@pytest.fixture
async def cluster(shared_cluster: PrivateCluster) -> AsyncGenerator[PrivateCluster]:
    """Three masters and three replicas, with the users of the template. A test must undo its faults."""
    await shared_cluster.healthy()
    yield shared_cluster
    await shared_cluster.healthy()


@pytest.fixture
async def sentinels() -> AsyncGenerator[PrivateSentinels]:
    async with private_sentinels() as sentinels:
        yield sentinels


@contextlib.asynccontextmanager
async def on_cluster(
    cluster: PrivateCluster, database_url: str, env: dict[str, str]
) -> AsyncGenerator[Deployment]:
    """Two processes of each kind, each a user of its own in Redis."""
    command_api, projector, push_node = [
        Start({"IMC_REDIS_URL": cluster.url_as(account(user))})
        for user in ("command-api", "projector", "push-node")
    ]
    async with separate(
        cluster.url,
        database_url,
        {**QUICK, **env},
        command_apis=(command_api, command_api),
        projectors=(projector, projector),
        push_nodes=(push_node, push_node),
    ) as deployment:
        yield deployment


@pytest.fixture
async def safe_on_cluster(cluster: PrivateCluster, database_url: str) -> AsyncGenerator[Deployment]:
    async with on_cluster(cluster, database_url, SAFE) as deployment:
        yield deployment


@pytest.fixture
async def safe_on_sentinels(sentinels: PrivateSentinels, database_url: str) -> AsyncGenerator[Deployment]:
    async with separate(sentinels.url, database_url, {**QUICK, **SAFE}) as deployment:
        yield deployment


async def an_app_on_each(cluster: PrivateCluster, prefix: str) -> dict[ClusterNode, str]:
    """For each master an app whose log it holds."""
    found: dict[ClusterNode, str] = {}
    masters = await cluster.masters()
    for number in range(100):
        app_id = f"{prefix}-{number}"
        found.setdefault(await cluster.master_of(names.log(app_id)), app_id)
        if len(found) == len(masters):
            return found
    raise AssertionError("a master holds no app")


async def more_of(load: Load, app_ids: Collection[str], count: int) -> None:
    """Wait until ``count`` more sends of each app are acknowledged that began from here on."""
    since = time.monotonic()

    def acknowledged() -> Counter[str]:
        return Counter(
            send.app_id
            for send in load.history.sends
            for attempt in send.attempts
            if attempt.began >= since and attempt.answer is Answer.ACKNOWLEDGED
        )

    await wait_until(
        lambda: all(acknowledged()[app_id] >= count for app_id in app_ids),
        60,
        what=f"{count} more sends of {app_ids}",
    )


def noticed(load: Load, app_ids: Collection[str], since: float) -> list[str]:
    """What was not as ever: a send not acknowledged, a connection lost, a gateway told of a gap."""
    sends = [
        f"{attempt.via} of {send.app_id} was {attempt.answer}"
        for send in load.history.sends
        for attempt in send.attempts
        if send.app_id in app_ids and attempt.ended is not None and attempt.began >= since
        if attempt.answer is not Answer.ACKNOWLEDGED
    ]
    gateways = [
        f"{connection.gateway_id} of {connection.app_id} connected again, or got a 4002"
        for connection in load.history.connections
        if connection.app_id in app_ids
        if connection.began >= since
        or any(frame.code == 4002 and frame.at >= since for frame in connection.frames)
    ]
    return sends + gateways


async def is_clean(load: Load) -> None:
    load.history.masters_are_replaced = True
    report = await load.finish(SETTLE_SECONDS)
    print(f"seed {load.history.seed}: {figures_of(load.history)}\n{report}")  # noqa: T201
    assert report.is_clean, report


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["kill", "hang"])
async def test_a_master_that_dies_or_hangs_loses_nothing_and_stops_no_other(
    cluster: PrivateCluster, safe_on_cluster: Deployment, database_url: str, app_id: str, fault: str
) -> None:
    apps = await an_app_on_each(cluster, app_id)
    (master, victim), *rest = apps.items()
    others = [app for _, app in rest]
    stores = Stores(cluster.client, database_url)
    async with load_on(safe_on_cluster, stores, seed=SEED, apps=[victim, *others], gateways=2) as load:
        load.begin(disturb=False)
        await more_of(load, apps.values(), 10)
        since = time.monotonic()
        if fault == "kill":
            await master.kill()
        else:
            master.pause()
        await more_of(load, others, 10)
        await cluster.taken_over(master)
        # Apps of the new master wait for a replica: the old one becomes that.
        if fault == "kill":
            await master.start()
        else:
            await asyncio.sleep(max(0.0, since + HUNG_SECONDS - time.monotonic()))
            master.resume()
        await cluster.healthy()
        await more_of(load, apps.values(), 10)
        assert noticed(load, others, since) == []
        for process in safe_on_cluster.processes:
            await process.ready(READY_SECONDS)
        await is_clean(load)


@pytest.mark.timeout(300)
async def test_slots_of_busy_apps_move_and_no_others_notice(
    cluster: PrivateCluster, safe_on_cluster: Deployment, database_url: str, app_id: str
) -> None:
    apps = await an_app_on_each(cluster, app_id)
    stores = Stores(cluster.client, database_url)
    async with load_on(safe_on_cluster, stores, seed=SEED, apps=[*apps.values()], gateways=2) as load:
        load.begin(disturb=False)
        await more_of(load, apps.values(), 10)
        for app in apps.values():
            slot, since = key_slot(names.log(app).encode()), time.monotonic()
            for target in await cluster.masters():
                await cluster.move_slot(slot, target)
                await more_of(load, [app], 5)
            assert noticed(load, set(apps.values()) - {app}, since) == []
        await is_clean(load)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["kill", "hang", "replace"])
async def test_the_master_that_sentinels_watch_ends_and_nothing_is_lost(
    sentinels: PrivateSentinels, safe_on_sentinels: Deployment, database_url: str, fault: str
) -> None:
    """A master that was replaced goes on for some 10 s, and loses what it takes: nobody has told it."""
    stores = Stores(sentinels.client, database_url)
    async with load_on(safe_on_sentinels, stores, seed=SEED, apps=2, gateways=2) as load:
        load.begin(disturb=False)
        await more_of(load, load.app_ids, 10)
        old, since = await sentinels.master(), time.monotonic()
        if fault == "kill":
            await old.kill()
        elif fault == "hang":
            old.pause()
        else:
            await sentinels.fail_over()
        assert await sentinels.taken_over(old) is not old
        # What waits for a replica is ready once the old master has become one.
        waiting = [*safe_on_sentinels.command_apis, *safe_on_sentinels.projectors]
        for process in safe_on_sentinels.processes:
            if process not in waiting:
                await process.ready(READY_SECONDS)
        if fault == "kill":
            await old.start()
        elif fault == "hang":
            await asyncio.sleep(max(0.0, since + HUNG_SECONDS - time.monotonic()))
            old.resume()
        await sentinels.healthy()
        for process in waiting:
            await process.ready(READY_SECONDS)
        await more_of(load, load.app_ids, 10)
        await is_clean(load)


@pytest.mark.timeout(300)
async def test_what_a_replica_lacked_that_took_over_is_told_as_a_gap(
    cluster: PrivateCluster, database_url: str, app_id: str
) -> None:
    """Without IMC_ACK_REPLICAS: gateways had it and get 4002, the database keeps it, and all goes on."""
    apps = await an_app_on_each(cluster, app_id)
    (master, app), *_ = apps.items()
    stores = Stores(cluster.client, database_url)
    async with (
        on_cluster(cluster, database_url, {}) as deployment,
        load_on(deployment, stores, seed=SEED, apps=[app], gateways=2) as load,
    ):
        load.begin(disturb=False)
        await more_of(load, [app], 10)
        await load.pause(SETTLE_SECONDS)
        replica = await cluster.replica_of(master)
        await replica.command("CONFIG", "SET", "masterauth", "wrong")
        await master.command("CLIENT", "KILL", "TYPE", "replica")
        load.begin(disturb=False)
        await more_of(load, [app], 10)
        await load.pause(SETTLE_SECONDS)
        lost_after = time.monotonic()
        await master.kill()
        await cluster.taken_over(master)
        await replica.command("CONFIG", "SET", "masterauth", ADMINISTRATOR)
        await master.start()
        await cluster.healthy()

        def told() -> bool:
            newest = [gateway.connection for gateway in load.gateways]
            return all(
                connection is not None
                and any(frame.code == 4002 and frame.at > lost_after for frame in connection.frames)
                for connection in newest
            )

        await wait_until(told, what="all gateways to get a 4002")
        load.replay_from_here()
        load.begin(disturb=False)
        await more_of(load, [app], 10)
        await is_clean(load)


@pytest.mark.skipif(not IS_LONG, reason="it runs for minutes: make engines")
@pytest.mark.timeout(MINUTES * 60 + 600)
async def test_faults_of_a_cluster_at_random_lose_nothing(
    cluster: PrivateCluster, safe_on_cluster: Deployment, database_url: str, app_id: str
) -> None:
    apps = await an_app_on_each(cluster, app_id)
    stores = Stores(cluster.client, database_url)
    async with load_on(safe_on_cluster, stores, seed=SEED, apps=[*apps.values()], listed=1) as load:
        await at_random(load, safe_on_cluster, of_cluster(cluster), cluster.healthy)


@pytest.mark.skipif(not IS_LONG, reason="it runs for minutes: make engines")
@pytest.mark.timeout(MINUTES * 60 + 600)
async def test_faults_of_what_sentinels_watch_at_random_lose_nothing(
    sentinels: PrivateSentinels, safe_on_sentinels: Deployment, database_url: str
) -> None:
    stores = Stores(sentinels.client, database_url)
    async with load_on(safe_on_sentinels, stores, seed=SEED, listed=1) as load:
        await at_random(load, safe_on_sentinels, of_sentinels(sentinels), sentinels.healthy)


async def at_random(
    load: Load, deployment: Deployment, faults: dict[str, SetFault], healthy: Callable[[], Awaitable[None]]
) -> None:
    """Let ``faults`` happen for `MINUTES`, one after the other, and check the run."""
    random = Random(SEED)
    done: Counter[str] = Counter()
    worst = 0.0
    load.begin()
    deadline = time.monotonic() + MINUTES * 60
    while time.monotonic() < deadline:
        await load.more(random.randrange(20, 100), 120)
        # The fault happens while it is carried out.
        done["erasure"] += await load.sometimes_erase(random)
        name, seconds = random.choice(sorted(faults)), random.choice((0.2, 1.0, 3.0, 8.0))
        load.note(f"{name} for {seconds} s")
        await faults[name](load.app_ids, random, seconds)
        ended = time.monotonic()
        await asyncio.gather(*(process.ready() for process in deployment.processes))
        worst = max(worst, time.monotonic() - ended)
        await healthy()
        done[name] += 1
    print(f"{dict(done)}, at most {worst:.1f} s from the end of one until all were ready")  # noqa: T201
    await load.erasures_done(SETTLE_SECONDS)
    await is_clean(load)
