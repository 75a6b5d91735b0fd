"""`Masters` on a real Redis Cluster, while slots move and masters fail."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest
from imc_service.redis import cluster as redis_cluster
from imc_service.redis import masters as redis_masters
from imc_service.redis.client import address_of
from imc_service.redis.errors import NotConnected, code_of, was_not_run
from imc_service.redis.masters import Masters, Script
from imc_service.redis.slots import slot_of
from imc_service.redis.url import check
from imc_testkit.redis_cluster import ClusterNode, PrivateCluster, private_cluster
from imc_testkit.waiting import wait_until
from imc_testkit.writing import writing
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

ADD = """
redis.call('INCR', KEYS[2])
return redis.call('RPUSH', KEYS[1], ARGV[1])
"""


@pytest.fixture(scope="module")
async def cluster() -> AsyncGenerator[PrivateCluster]:
    async with private_cluster() as cluster:
        yield cluster


@pytest.fixture
async def masters(cluster: PrivateCluster) -> AsyncGenerator[Masters]:
    await cluster.healthy()
    async with contextlib.aclosing(redis_masters.connect(check(cluster.url))) as masters:
        yield masters


@pytest.fixture
def tag() -> str:
    """Keys with it in braces are on one master."""
    return secrets.token_hex(4)


def of_kind(kind: str, masters: Masters, tag: str) -> Callable[[int], Awaitable[object]]:
    """How a writer adds a number: by one command, a script or a transaction."""
    items, count = f"{{{tag}}}:items", f"{{{tag}}}:count"
    script = Script(masters, ADD)

    async def in_transaction(redis: Redis, number: int) -> None:
        async with redis.pipeline(transaction=True) as pipe:
            pipe.incr(count)
            pipe.rpush(items, number)
            await pipe.execute()

    async def add(number: int) -> object:
        match kind:
            case "command":
                return await masters.run(items, lambda redis: cast(Any, redis).rpush(items, number))
            case "script":
                return await script([items, count], [number])
            case "replicated":
                return await script.replicated([items, count], [number], replicas=1, milliseconds=3000)
            case _:
                return await masters.run(items, lambda redis: in_transaction(redis, number))

    return add


async def numbers(masters: Masters, tag: str) -> list[int]:
    key = f"{{{tag}}}:items"
    found = await masters.run(key, lambda redis: cast(Any, redis).lrange(key, 0, -1))
    return [int(number) for number in found]


async def numbers_if_reachable(masters: Masters, tag: str) -> list[int]:
    with contextlib.suppress(RedisError, OSError):
        return await numbers(masters, tag)
    return []


async def another(cluster: PrivateCluster, key: str) -> ClusterNode:
    """A master that does not hold ``key``."""
    holder = await cluster.master_of(key)
    return next(node for node in await cluster.masters() if node is not holder)


async def tag_elsewhere(cluster: PrivateCluster, master: ClusterNode) -> str:
    """A tag whose keys another master holds."""
    while await cluster.master_of(f"{{{(tag := secrets.token_hex(4))}}}") is master:
        pass
    return tag


@pytest.mark.parametrize("kind", ["command", "script", "transaction"])
async def test_a_slot_moves_while_it_is_written_to(
    cluster: PrivateCluster, masters: Masters, tag: str, kind: str
) -> None:
    async with writing(of_kind(kind, masters, tag), was_not_run) as writer:
        for _ in range(3):
            target = await another(cluster, f"{{{tag}}}")
            # Both its keys are at the target by then, though the slot is not.
            await cluster.move_slot(slot_of(f"{{{tag}}}"), target, halfway=writer.more)
            await writer.more()
    assert (writer.refused, writer.unknown) == ([], [])
    writer.assert_written(await numbers(masters, tag))


async def test_keys_that_are_not_there_yet_wait_for_the_end_of_the_move(
    cluster: PrivateCluster, masters: Masters, tag: str
) -> None:
    """A node that takes a slot over can't know whether the old one has them."""
    items, count = f"{{{tag}}}:items", f"{{{tag}}}:count"
    await masters.run(items, lambda redis: cast(Any, redis).rpush(items, 0))
    started: list[asyncio.Task[Any]] = []
    target = await another(cluster, items)

    async def call() -> None:
        before = await refusals(target, "TRYAGAIN")
        started.append(asyncio.create_task(Script(masters, ADD)([items, count], [1])))

        async def was_refused() -> bool:
            return await refusals(target, "TRYAGAIN") > before

        await wait_until(was_refused)

    await cluster.move_slot(slot_of(items), target, halfway=call)
    assert await started[0] == 2
    assert await numbers(masters, tag) == [0, 1]


async def refusals(node: ClusterNode, code: str) -> int:
    """How often a node has answered with an error of this code."""
    stats = await node.command("INFO", "errorstats")
    return int(stats.get(f"errorstat_{code}", {"count": 0})["count"])


async def test_a_user_who_may_not_say_asking_is_told(cluster: PrivateCluster, tag: str) -> None:
    key = f"{{{tag}}}"
    for node in cluster.nodes:
        rights = ("~*", "+incrby", "+cluster|shards", "+multi", "+exec")
        await node.command("ACL", "SETUSER", "mute", "on", ">pw", *rights)
    url = check(cluster.url.replace("://", "://mute:pw@"))
    async with contextlib.aclosing(redis_masters.connect(url)) as masters:

        async def add() -> None:
            for _ in range(2):  # the connection is good for another try
                with pytest.raises(NoPermissionError, match="'asking'"):
                    await masters.run(key, lambda redis: cast(Any, redis).incr(key))

        await cluster.move_slot(slot_of(key), await another(cluster, key), halfway=add)
        assert await masters.run(key, lambda redis: cast(Any, redis).incr(key)) == 1


async def test_clients_are_closed_when_they_are_of_no_use_any_more(
    cluster: PrivateCluster, masters: Masters, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cluster, "UNUSED_SECONDS", 0.1)
    monkeypatch.setattr(redis_cluster, "LOOK_SECONDS", 0.1)
    key = f"{{{tag}}}"
    old, target = await cluster.master_of(key), await another(cluster, key)
    used: dict[str, int] = {}

    async def note(redis: Redis) -> None:
        used[address_of(redis)] = await cast(Any, redis).client_id()

    async def ask() -> None:  # the key is not there yet
        async def get(redis: Redis) -> None:
            await cast(Any, redis).get(key)
            await note(redis)

        await masters.run(key, get)

    await masters.run(key, note)
    await cluster.move_slot(slot_of(key), target, halfway=ask)
    [at_old, asking] = used.values()
    await cluster.fail_over(old)

    async def are_closed() -> bool:
        left = [await node.command("CLIENT LIST") for node in (old, target)]
        ids = [[int(each["id"]) for each in clients] for clients in left]
        return at_old not in ids[0] and asking not in ids[1]

    await wait_until(are_closed)


async def test_a_master_hands_over_without_a_loss(
    cluster: PrivateCluster, masters: Masters, tag: str
) -> None:
    async with writing(of_kind("script", masters, tag), was_not_run) as writer:
        await cluster.fail_over(await cluster.master_of(f"{{{tag}}}"))
        await writer.more()
    writer.assert_written(await numbers(masters, tag))


@pytest.mark.parametrize("end", ["killed", "hung"])
async def test_a_master_fails_and_its_replica_takes_over(
    cluster: PrivateCluster, masters: Masters, tag: str, end: str
) -> None:
    master = await cluster.master_of(f"{{{tag}}}")
    elsewhere = await tag_elsewhere(cluster, master)
    async with (
        writing(of_kind("script", masters, elsewhere), was_not_run) as other,
        writing(of_kind("replicated", masters, tag), was_not_run) as writer,
    ):
        if end == "killed":
            await master.kill()
        else:
            master.pause()
        await other.more()
        await cluster.taken_over(master)
        await other.more()
        # Reading may still go to the old master, until the new one is known.
        found = await wait_until(lambda: numbers_if_reachable(masters, tag))
        assert found[: len(writer.acknowledged)] == writer.acknowledged
        # Only with it there is a replica again that can confirm more.
        if end == "killed":
            await master.start()
        else:
            master.resume()
        await cluster.healthy()
    assert (other.refused, other.unknown) == ([], [])
    writer.assert_written(await numbers(masters, tag))


async def test_each_command_goes_to_the_master_of_its_key(cluster: PrivateCluster, masters: Masters) -> None:
    keys = [f"{{{secrets.token_hex(4)}}}" for _ in range(100)]
    assert masters.by_master(keys) == []  # nothing is known yet
    replies = await masters.each([(key, ("SET", key, number)) for number, key in enumerate(keys)])
    assert replies == [True] * 100
    groups = masters.by_master(keys)
    assert sorted(key for _, group in groups for key in group) == sorted(keys)
    assert {address_of(redis) for redis, _ in groups} == {
        f"127.0.0.1:{node.port}" for node in await cluster.masters()
    }
    # A slot moves before the table knows, and one command is wrong.
    moved = keys[7]
    await cluster.move_slot(slot_of(moved), await another(cluster, moved))
    many = [(moved, ("GET", moved))] * 100  # more than there are connections
    assert await masters.each(many) == [b"7"] * 100
    await cluster.move_slot(slot_of(moved), await another(cluster, moved))
    replies = await masters.each([(key, ("GET", key)) for key in keys] + [(moved, ("INCR", moved, 1))])
    assert replies[:100] == [str(number).encode() for number in range(100)]
    assert "wrong number of arguments" in str(replies[100])


async def test_all_replies_or_the_first_error(masters: Masters, tag: str) -> None:
    key = f"{{{tag}}}"
    good, bad = (key, ("SET", key, 1)), (key, ("LPUSH", key, 1))
    assert await masters.all([good, good]) == [True, True]
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await masters.all([good, bad])


async def test_a_command_that_is_wrong_is_sent_once(
    cluster: PrivateCluster, masters: Masters, tag: str
) -> None:
    key = f"{{{tag}}}"
    master = await cluster.master_of(key)
    before = await refusals(master, "WRONGTYPE")
    replies = await masters.each([(key, ("SET", key, 1)), (key, ("LPUSH", key, 1))])
    assert "WRONGTYPE" in str(replies[1])
    assert await refusals(master, "WRONGTYPE") == before + 1


async def test_the_others_that_moved_with_a_slot_are_found_without_asking_for_them(
    cluster: PrivateCluster, masters: Masters, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cluster, "LOOK_SECONDS", 3600)
    first = f"{{{tag}}}"
    old, target = await cluster.master_of(first), await another(cluster, first)
    other = first
    while other == first or await cluster.master_of(other) is not old:
        other = f"{{{secrets.token_hex(4)}}}"
    keys = [first, other]
    assert await masters.each([(key, ("SET", key, 1)) for key in keys]) == [True, True]
    for key in keys:
        await cluster.move_slot(slot_of(key), target)
    await masters.run(first, lambda redis: cast(Any, redis).get(first))

    def are_known() -> bool:
        known = masters.by_master(keys)
        return [address_of(redis) for redis, _ in known] == [f"127.0.0.1:{target.port}"]

    await wait_until(are_known)


async def test_a_script_is_run_for_many_keys_on_masters_that_lack_it(masters: Masters) -> None:
    tags = [secrets.token_hex(4) for _ in range(30)]
    script = Script(masters, ADD + f"-- {tags[0]}")
    calls = [([f"{{{tag}}}:items", f"{{{tag}}}:count"], [1]) for tag in tags]
    assert await script.each(calls) == [1] * 30
    assert await script.each(calls) == [2] * 30


async def test_a_dead_master_fails_its_commands_alone(
    cluster: PrivateCluster, masters: Masters, tag: str
) -> None:
    key = f"{{{tag}}}"
    master = await cluster.master_of(key)
    other = f"{{{await tag_elsewhere(cluster, master)}}}"
    await masters.look_for_masters()
    await master.kill()
    try:
        found = await masters.each([(key, ("SET", key, 1)), (other, ("SET", other, 1))])
        assert isinstance(found[0], RedisError)
        assert found[1] is True
    finally:
        await cluster.taken_over(master)
        await master.start()


async def test_the_master_that_took_over_is_looked_for_as_soon_as_the_dead_one_fails(
    cluster: PrivateCluster, masters: Masters, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when it is time for the next look."""
    monkeypatch.setattr(redis_cluster, "LOOK_SECONDS", 3600)
    key = f"{{{tag}}}"

    async def is_reached() -> bool:
        with contextlib.suppress(RedisError, OSError):
            await masters.run(key, lambda redis: cast(Any, redis).exists(key))
            return True
        return False

    assert await is_reached()
    master = await cluster.master_of(key)
    await master.kill()
    try:
        await cluster.taken_over(master)
        await wait_until(is_reached)
    finally:
        await master.start()


async def test_a_slot_without_a_master_is_waited_for_and_then_refused(
    cluster: PrivateCluster, masters: Masters, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cluster, "RETRY_SECONDS", 0.3)
    key, slot = f"{{{tag}}}", slot_of(f"{{{tag}}}")
    holder = await cluster.holder(slot)
    for node in cluster.nodes:
        with contextlib.suppress(RedisError):  # replicas refuse it, and learn it from their master
            await node.cluster("DELSLOTS", slot)
    with pytest.raises(RedisError) as refused:
        await masters.run(key, lambda redis: cast(Any, redis).set(key, 1))
    assert code_of(refused.value) == "CLUSTERDOWN"
    assert was_not_run(refused.value)
    monkeypatch.setattr(redis_cluster, "RETRY_SECONDS", 60)
    waiting = asyncio.create_task(masters.run(key, lambda redis: cast(Any, redis).set(key, 1)))
    await wait_until(lambda: masters.uncovered() == 1)
    await holder.cluster("ADDSLOTS", slot)
    assert await waiting
    await wait_until(lambda: masters.uncovered() == 0)
    await cluster.healthy()


async def test_nodes_that_hang_keep_nobody_from_the_table(cluster: PrivateCluster, tag: str) -> None:
    key = f"{{{tag}}}"
    holder = await cluster.master_of(key)
    hung = [node for node in cluster.nodes if node is not holder]
    addresses = ",".join(f"127.0.0.1:{node.port}" for node in (*hung, holder))
    for node in hung:
        node.pause()
    try:
        url = check(f"redis+cluster://{addresses}")
        async with contextlib.aclosing(redis_masters.connect(url)) as masters:
            assert masters.by_master([key]) == []
            await masters.look_for_masters()
            [(redis, _)] = masters.by_master([key])
            assert address_of(redis) == f"127.0.0.1:{holder.port}"
    finally:
        for node in hung:
            node.resume()


async def test_a_server_that_is_no_cluster_says_so(redis_url: str) -> None:
    url = redis_url.replace("redis://", "redis+cluster://")
    async with contextlib.aclosing(redis_masters.connect(check(url))) as masters:
        with pytest.raises(NotConnected, match=r"127\.0\.0\.1:[0-9]+: .*cluster support disabled"):
            await masters.run("a", lambda redis: cast(Any, redis).get("a"))
