"""What each process may do in Redis: all that it does, and nothing else, by scripts neither."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import hiredis
import pytest
from imc_command_api.dead_letters.letters import DeadLetters
from imc_command_api.dead_letters.pages import LetterPages
from imc_command_api.erasure.streams import StreamEraser
from imc_command_api.log.new_apps import NewApps
from imc_command_api.log.proof import WorkProof
from imc_command_api.log.recent import RecentEntries
from imc_command_api.operations.activity import ActivityReader
from imc_command_api.operations.apps import Apps
from imc_command_api.projector.logs import FailedEntry, Logs, ProjectedStretch, Retention
from imc_command_api.projector.ownership import Ownership
from imc_command_api.store.erasures import Erasure, Found, Stage
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_contracts.events import EventKind, RecallMark
from imc_contracts.policies import Policies
from imc_push_node.cluster.proof import NodeProof
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_service import background, presence
from imc_service.activity import Activity, Backlog
from imc_service.health import Readiness
from imc_service.presence import Identity
from imc_service.redis import client as redis_client
from imc_service.redis.errors import NotConnected
from imc_service.redis.health import RedisHealth
from imc_service.redis.masters import Masters
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from project_files import ROOT
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError
from redis_users import PROCESSES, USERS

As = Callable[[str], Redis]


@pytest.fixture(scope="module")
async def server(users: Path) -> AsyncGenerator[PrivateRedis]:
    async with private_redis("--aclfile", str(users)) as server:
        yield server


@pytest.fixture
async def as_user(server: PrivateRedis) -> AsyncGenerator[As]:
    """A client of each user, ``default`` included."""
    clients: list[Redis] = []

    def connect(user: str) -> Redis:
        who = "" if user == "default" else f"{user}:{user}@"
        clients.append(redis_client.connect(f"redis://{who}127.0.0.1:{server.port}/0"))
        return clients[-1]

    yield connect
    for client in clients:
        await client.aclose()


@pytest.fixture
async def log_of_app(as_user: As, app_id: str) -> AsyncGenerator[str]:
    """The key of a log with ten entries; afterwards, that Redis has refused nobody anything meanwhile."""
    administrator, log = as_user("administrator"), names.log(app_id)
    await cast("Awaitable[Any]", administrator.acl_log_reset())
    shard = names.shard_of(app_id)
    for key in (names.apps(shard), names.pending(shard)):
        await administrator.zadd(key, {app_id: 0})
    for number in range(10):
        await administrator.xadd(log, {"k": "s", "v": "x"}, id=f"{number + 1}-0")
    yield log
    refused = await cast("Awaitable[list[dict[str, Any]]]", administrator.acl_log())
    assert [(entry["username"], entry["object"]) for entry in refused] == []


async def test_a_projector_may_do_all_that_it_does(as_user: As, app_id: str, log_of_app: str):
    redis = as_user("projector")
    masters, shards = Masters(redis), range(names.SHARDS)
    logs = await asyncio.to_thread(Logs, masters, "one", Retention(0, 1, 0))
    ownership = await asyncio.to_thread(Ownership, masters, "one", is_alone=False)
    await ownership.renew()
    assert len(ownership.shards) == names.SHARDS
    assert await logs.pending(shards) == [app_id]
    [stretch] = await logs.read(redis, [app_id], {})
    assert len(stretch.entries) == 10
    assert (await logs.lag(redis, shards)).seconds > 0
    assert await logs.advance([ProjectedStretch(stretch, [FailedEntry(stretch.end, "data", "reason")])]) == [
        True
    ]
    assert await logs.due(shards) == [app_id]
    assert await logs.tidy(app_id) == (9, False)
    assert await logs.tidy(app_id) == (0, False), "it has a dead letter"
    [(letter, _)] = cast("list[Any]", await redis.xrange(names.dead_letters(app_id)))
    assert await redis.xdel(names.dead_letters(app_id), letter) == 1
    assert await logs.tidy(app_id) == (0, True)
    await ownership.release()


async def test_a_projector_may_erase(as_user: As, app_id: str, log_of_app: str):
    administrator, letters = as_user("administrator"), names.dead_letters(app_id)
    for user in ("ann", "bob"):
        await administrator.xadd(letters, {"k": "s", "v": f'{{"userId":"{user}"}}', "id": "2-1"})
    mark = RecallMark("7", 8, "a cause")
    await administrator.zadd(names.recalled(app_id), {mark.encode(): 9})
    streams = await asyncio.to_thread(StreamEraser, Masters(as_user("projector")))
    erasure = Erasure(7, app_id, "ann", None, EntryId(5, 0).column, Stage.LOG)
    await streams.forget_causes(app_id, [Found(7, 9, 9, 8, "a cause")])
    assert (await streams.step_log(erasure))[1]
    assert (await streams.step_dead_letters(erasure, b"0-0"))[0] == 1
    assert await streams.step_compaction(erasure)
    await streams.give_up_copies(erasure)
    assert await administrator.xlen(letters) == 1
    assert await administrator.zrange(names.recalled(app_id), 0, -1) == [RecallMark("7", 8, None).encode()]


async def test_command_api_may_take_new_apps(as_user: As, app_id: str, log_of_app: str):
    new_apps = await asyncio.to_thread(NewApps, Masters(as_user("command-api")), 1000)
    await new_apps.take()


async def test_command_api_may_look_for_what_it_takes_back(as_user: As, app_id: str, log_of_app: str):
    administrator = as_user("administrator")
    key = names.recent(names.shard_of(app_id), 26_000_000)
    await administrator.hset(key, "1", f"5-0 {app_id}")  # pyright: ignore
    recent = RecentEntries(Masters(as_user("command-api")))
    assert await recent.app_of(1 << 22) is None
    assert await recent.find(app_id, 1 << 22, EventKind.MESSAGE_SENT) is None
    assert await as_user("command-api").xrange(log_of_app, "5-0", "5-0") != []


@pytest.mark.parametrize("user", PROCESSES)
async def test_each_process_may_announce_itself(
    as_user: As, server: PrivateRedis, app_id: str, log_of_app: str, user: str
):
    url = f"redis://{user}:{user}@127.0.0.1:{server.port}/0"
    identity, readiness = Identity("imc-x", "1", "here:1"), Readiness()
    administrator = Masters(as_user("administrator"))
    async with presence.announced(url, identity, readiness):

        async def is_announced() -> bool:
            return identity.id in await presence.running(administrator)

        await wait_until(is_announced)
    assert identity.id not in await presence.running(administrator)


async def test_command_api_may_read_and_mend_for_operators(as_user: As, app_id: str, log_of_app: str):
    masters, administrator = Masters(as_user("command-api")), as_user("administrator")
    activity = Activity(masters)
    activity.sent(app_id, 3)
    activity.took([(0.001, 3)])
    reader = ActivityReader(masters)
    await activity.flush(int(time.time() // 60))
    assert sum(minute["sends"] for minute in await reader.minutes_of(app_id, 2)) == 3
    assert sum(minute["sends"] for minute in await reader.minutes(2)) >= 3
    apps = await Apps(masters, reader, Policies()).page(None, "noisiest", None, 500)
    assert app_id in [app["appId"] for app in apps.items]
    await presence.processes(masters)
    letter = cast(bytes, await administrator.xadd(names.dead_letters(app_id), {"k": "s", "v": "x"}))
    nothing_is_written = cast(Any, None)
    letters = LetterPages(masters, DeadLetters(masters, nothing_is_written))
    assert len((await letters.page([app_id], None, 10)).items) == 1
    assert (await letters.drop(app_id, [letter.decode()]))["done"] == 1


async def test_the_projector_may_tell_its_backlog(as_user: As, app_id: str, log_of_app: str):
    backlog = Backlog(Masters(as_user("projector")), app_id)
    backlog.is_now(7)
    minute = int(time.time() // 60)
    await backlog.flush(minute)
    key = names.all_activity(minute)
    told = await cast("Awaitable[Any]", as_user("administrator").hget(key, f"b:{app_id}"))
    assert told == b"7"


OF_THE_SERVER = [
    *[("CLIENT", "TRACKING", "ON", "BCAST"), ("CLIENT", "TRACKINGINFO"), ("CLIENT", "CACHING", "YES")],
    *[("CLIENT", "LIST"), ("CLIENT", "INFO"), ("CLIENT", "ID"), ("CLIENT", "KILL", "ID", "1")],
    *[
        ("CLIENT", "NO-EVICT", "ON"),
        ("CLIENT", "PAUSE", "1"),
        ("CLIENT", "UNPAUSE"),
        ("CLIENT", "UNBLOCK", "1"),
    ],
    *[("CLIENT", "REPLY", "ON"), ("CLIENT", "GETREDIR"), ("CLIENT", "SETNAME", "x"), ("CLIENT", "GETNAME")],
    *[
        ("MONITOR",),
        ("ACL", "LIST"),
        ("ACL", "WHOAMI"),
        ("ACL", "SETUSER", "default", "on"),
    ],
    *[("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "REWRITE"), ("MODULE", "LIST"), ("SHUTDOWN", "NOSAVE")],
    *[
        ("REPLICAOF", "NO", "ONE"),
        ("FAILOVER",),
        ("SYNC",),
        ("PSYNC", "?", "-1"),
        ("SAVE",),
        ("BGREWRITEAOF",),
    ],
    *[
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SWAPDB", "0", "1"),
        ("MOVE", "imc:apps", "1"),
        ("SCAN", "0"),
        ("DBSIZE",),
    ],
    *[("SCRIPT", "FLUSH"), ("SCRIPT", "KILL"), ("FUNCTION", "FLUSH"), ("PUBSUB", "CHANNELS"), ("RANDOMKEY",)],
    *[
        ("SLOWLOG", "GET"),
        ("LATENCY", "LATEST"),
        ("MEMORY", "STATS"),
        ("COMMAND", "COUNT"),
        ("CLUSTER", "INFO"),
    ],
    *[("PSUBSCRIBE", "*"), ("SUBSCRIBE", "__keyspace@0__:imc:apps"), ("SUBSCRIBE", "__redis__:invalidate")],
]
"""What tells of all keys and clients, or changes the server for all."""

OF_THE_DATA = [
    *[("GET", "other"), ("XRANGE", "imc:{7}:log:a", "-", "+"), ("SCAN", "0"), ("RANDOMKEY",), ("KEYS", "*")],
    *[
        ("DEL", "imc:{7}:log:a"),
        ("FLUSHDB",),
        ("FLUSHALL",),
        ("SUBSCRIBE", "other"),
        ("EVAL", "return 1", "0"),
    ],
]
"""What reads or changes keys, or hears what is published."""

FORBIDDEN = [
    *((user, command) for user in PROCESSES for command in OF_THE_SERVER),
    *((user, ("CONFIG", "GET", "*")) for user in PROCESSES),
    *((user, ("KEYS", "*")) for user in PROCESSES),
    *((user, ("GET", "other")) for user in PROCESSES),
    *((user, ("DEL", "imc:{7}:log:a")) for user in PROCESSES),
    *((user, ("CLIENT", "KILL", "TYPE", "normal")) for user in PROCESSES),
    *((user, ("EVAL", "return 1", "0")) for user in PROCESSES),
    ("command-api", ("XTRIM", "imc:{7}:log:a", "MAXLEN", "0")),
    ("command-api", ("SUBSCRIBE", "imc:{a}:live:0")),
    ("projector", ("SPUBLISH", "imc:{7}:live:a:0", "x")),
    ("projector", ("HSET", "imc:workers", "1", "x")),
    ("projector", ("SADD", "imc:apps", "x")),
    ("projector", ("UNLINK", "imc:{a}:gateways")),
    ("projector", ("UNLINK", "imc:{7}:dead-letters:a")),
    ("command-api", ("SREM", "imc:apps", "x")),
    ("command-api", ("UNLINK", "imc:{7}:log:a")),
    ("projector", ("SET", "imc:{7}:sent:a:x", "y")),
    ("projector", ("XADD", "imc:{7}:log:a", "*", "k", "v")),
    ("projector", ("XDEL", "imc:{7}:log:a", "1-1")),
    ("projector", ("HSET", "imc:{7}:dead-letters:a", "f", "x")),
    ("projector", ("EVALSHA", "0" * 40, "1", "imc:{7}:sent:a:x")),
    ("command-api", ("HSET", "imc:apps", "f", "x")),
    ("command-api", ("XADD", "imc:{7}:dead-letters:a", "*", "k", "v")),
    ("command-api", ("EVALSHA", "0" * 40, "1", "imc:push-nodes")),
    ("push-node", ("EVALSHA", "0" * 40, "0")),
    ("push-node", ("EVALSHA", "0" * 40, "1", "imc:push-nodes")),
    ("push-node", ("SCRIPT", "LOAD", "return 1")),
    ("push-node", ("FUNCTION", "LIST")),
    ("push-node", ("XADD", "imc:{7}:log:a", "*", "k", "v")),
    ("push-node", ("HSET", "imc:{a}:log-state", "last", "9-9")),
    ("push-node", ("SMEMBERS", "imc:apps")),
    ("push-node", ("SUBSCRIBE", "other")),
    *((user, command) for user in ("operator", "exporter") for command in OF_THE_DATA),
    *((user, ("MONITOR",)) for user in ("operator", "exporter")),
    *((user, ("ACL", "SETUSER", "default", "on")) for user in ("operator", "exporter")),
    *((user, ("SHUTDOWN", "NOSAVE")) for user in ("operator", "exporter")),
    ("operator", ("REPLICAOF", "NO", "ONE")),
    ("operator", ("CLIENT", "TRACKING", "ON", "BCAST")),
    ("exporter", ("CONFIG", "GET", "*")),
    ("exporter", ("SLOWLOG", "GET")),
    ("exporter", ("CLIENT", "LIST")),
    ("exporter", ("ACL", "LOG")),
]


@pytest.mark.parametrize(("user", "command"), FORBIDDEN)
async def test_what_a_process_has_no_need_of_is_refused(as_user: As, user: str, command: tuple[str, ...]):
    with pytest.raises(NoPermissionError):
        await as_user(user).execute_command(*command)


@pytest.mark.parametrize(
    "command", [("PING",), ("CLIENT", "TRACKING", "ON", "BCAST"), ("GET", "x"), ("INFO",)]
)
async def test_nobody_is_let_in_without_a_name(server: PrivateRedis, command: tuple[str, ...]):
    for who in ("", "default:@", "default:default@", ":@"):
        async with redis_client.connect(f"redis://{who}127.0.0.1:{server.port}/0") as redis:
            with pytest.raises(NotConnected, match=r"NOAUTH|WRONGPASS"):
                await redis.execute_command(*command)
    # Not before it has said who it is, either.
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(hiredis.pack_command(command))  # pyright: ignore
    assert (await reader.readline()).startswith(b"-NOAUTH")
    writer.close()


async def test_no_user_is_without_a_password(as_user: As):
    users = await cast("Awaitable[list[str]]", as_user("administrator").acl_list())
    assert {line.split()[1] for line in users} == {*USERS, "administrator", "default"}
    for line in users:
        assert "nopass" not in line.split()
        assert line.split()[2] == ("off" if line.split()[1] == "default" else "on")


def _given(text: str) -> list[tuple[str, str]]:
    """Each single right of each user in the template: a command, a key, or a channel."""
    lines = [line.split() for line in text.splitlines() if line.startswith("user ")]
    return [
        (user, right)
        for _, user, *rights in lines
        for right in dict.fromkeys(each.strip("()") for each in rights)
        if user in PROVEN and right[0] in "+~%&" and right.lstrip("+") not in BEYOND_THE_PROOF
    ]


PROVEN = ("command-api", "projector", "push-node")
"""The users whose processes are not ready without their rights."""

BEYOND_THE_PROOF = {
    *("ping", "select", "info"),  # not needed for the work, or for connecting alone
    *("ssubscribe", "sunsubscribe", "unsubscribe", "discard"),  # for what is not done yet, or undone
    "xdel",  # of `imc deadletters`
    *("cluster|shards", "cluster|slots", "asking"),  # for a cluster
}


@pytest.mark.parametrize(("user", "right"), _given((ROOT / "deploy/redis/users.acl").read_text()))
async def test_a_right_that_is_missing_makes_a_process_not_ready(
    as_user: As, server: PrivateRedis, users: Path, user: str, right: str
):
    [line] = [line for line in text_of(users).splitlines() if line.startswith(f"user {user} ")]
    rules = line.split(maxsplit=2)[2].replace(f">{user}", ">lacking")
    lacking = rules.replace(f"({right} ", "(").replace(f" {right} ", " ").replace(f" {right})", ")")
    lacking = lacking.removesuffix(f" {right}")
    assert lacking != rules
    administrator = as_user("administrator")
    await administrator.execute_command("ACL", "SETUSER", "lacking", *_rules(lacking))  # pyright: ignore
    async with redis_client.connect(f"redis://lacking:lacking@127.0.0.1:{server.port}/0") as redis:
        words = await _why_not_ready(redis, user)
    assert words is not None, f"nothing tells that {user} lacks {right}"
    # Without MULTI Redis refuses the transaction as a whole, with other words.
    assert "NOPERM" in words or right == "+multi"
    await administrator.execute_command("ACL", "DELUSER", "lacking")  # pyright: ignore


def text_of(users: Path) -> str:
    return users.read_text()


def _rules(text: str) -> list[str]:
    """The rules as ACL SETUSER takes them: each bracket is one."""
    return [rule for rule in re.findall(r"\([^)]*\)|\S+", text) if rule != "()"]


async def _why_not_ready(redis: Redis, user: str) -> str | None:
    """What the process of ``user`` says of its Redis a moment after its start."""
    registry = CollectorRegistry()
    masters = Masters(redis)
    if user != "push-node":
        proof = await asyncio.to_thread(WorkProof, masters)
        of = proof.of_command_api if user == "command-api" else proof.of_projector
        return await RedisHealth(masters, partial(of, ack_replicas=1), registry, "test").ready()
    subscriber = Subscriber(masters, NodeMetrics(registry).subscriptions)
    node = NodeProof(masters, subscriber)
    health = RedisHealth(masters, node.of_commands, registry, "test")

    async def is_decided() -> bool:
        if await health.ready() is not None:
            return True
        words = await node.of_pushes()
        return words is None or not re.fullmatch(r"no Pub/Sub connection( to \S+)?", words)

    async with background.running(subscriber.run()):
        await wait_until(is_decided)
        return await health.ready() or await node.of_pushes()


FORBIDDEN_IN_SCRIPTS = [
    ("projector", ("XADD", "imc:{7}:log:a", "*", "k", "v")),
    ("projector", ("XDEL", "imc:{7}:log:a", "1-1")),
    ("projector", ("DEL", "imc:{7}:log:a")),
    ("projector", ("SET", "imc:{7}:sent:a:x", "y")),
    ("projector", ("SPUBLISH", "imc:{7}:live:a:0", "x")),
    ("projector", ("FLUSHALL",)),
    *((user, ("CLIENT", "LIST")) for user in ("projector", "command-api")),
    ("command-api", ("XTRIM", "imc:{7}:log:a", "MAXLEN", "0")),
    ("command-api", ("DEL", "imc:{7}:log:a")),
    ("command-api", ("GET", "other")),
    ("command-api", ("HSET", "imc:{7}:dead-letters:a", "f", "x")),
    ("command-api", ("ZADD", "imc:push-nodes", "1", "x")),
    ("command-api", ("CONFIG", "GET", "*")),
]


@pytest.mark.parametrize(("user", "command"), FORBIDDEN_IN_SCRIPTS)
async def test_a_script_may_do_no_more_than_who_runs_it(as_user: As, user: str, command: tuple[str, ...]):
    redis = as_user(user)
    words = ", ".join(f"'{word}'" for word in command)
    script = await redis.script_load(f"return redis.call({words})")
    for key in ((), ("imc:{7}:log:a",)):
        with pytest.raises(ResponseError, match=r"user executing the script|not allowed from script"):
            await redis.evalsha(script, len(key), *key)  # pyright: ignore
