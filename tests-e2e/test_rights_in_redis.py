"""What each process may do in Redis: all that it does, and nothing else, by scripts neither."""

import asyncio
import re
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import hiredis
import pytest
from imc_command_api.log.apps import AppList
from imc_command_api.log.proof import WorkProof
from imc_command_api.log.recent import RecentEntries
from imc_command_api.projector.log_group import LogGroup
from imc_command_api.projector.reader import LogReader
from imc_contracts import names
from imc_contracts.events import EventKind
from imc_push_node.metrics import NodeMetrics
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream.proof import NodeProof
from imc_service import background
from imc_service.redis import client as redis_client
from imc_service.redis.errors import NotConnected
from imc_service.redis.health import RedisHealth
from imc_testkit.programs import search_path
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, ResponseError

DEPLOY = Path(__file__).parents[1] / "deploy"
USERS = ("command-api", "projector", "push-node")

As = Callable[[str], Redis]


@pytest.fixture(scope="module")
async def server(users: Path) -> AsyncGenerator[PrivateRedis]:
    async with private_redis("--aclfile", str(users)) as server:
        yield server


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The users of the template; the password of each is its name."""
    passwords = {f"IMC_REDIS_{user.upper().replace('-', '_')}_PASSWORD": user for user in USERS}
    filled_in = subprocess.run(
        ["sh", str(DEPLOY / "fill-in.sh"), str(DEPLOY / "redis/users.acl")],
        env={"PATH": search_path(), **passwords},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    path = tmp_path_factory.mktemp("acl") / "users.acl"
    path.write_text(f"{filled_in}user administrator reset on >administrator ~* &* +@all\n")
    return path


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
    await administrator.sadd(names.APPS, app_id)
    for number in range(10):
        await administrator.xadd(log, {"k": "s", "v": "x"}, id=f"{number + 1}-0")
    yield log
    refused = await cast("Awaitable[list[dict[str, Any]]]", administrator.acl_log())
    assert [(entry["username"], entry["object"]) for entry in refused] == []


async def test_a_projector_may_do_all_that_it_does(as_user: As, app_id: str, log_of_app: str):
    redis = as_user("projector")
    group, reader = LogGroup(redis), LogReader(redis, redis, "one", 0)
    delivered = await reader.read()
    assert len(delivered) == 10
    ids = [each.entry_id for each in delivered]
    assert [len(page) async for page in reader.claim()] == [10]
    assert await group.dead_letter(app_id, ids[0], "reason")
    assert (await group.lag([app_id])).entries == 0
    await group.acknowledge({app_id: ids}, {app_id: 100})
    assert await group.trim(app_id, 0, 5) == 9
    assert await group.trim(app_id, 0, 0) == 0  # and now the marks
    assert await group.forget_consumers(app_id, -1) == 1
    assert not await group.forget_app(app_id, 0, may_be_empty=True)  # it has a dead letter
    [(letter, _)] = cast("list[Any]", await redis.xrange(names.dead_letters(app_id)))
    assert await redis.xdel(names.dead_letters(app_id), letter) == 1
    assert await group.forget_app(app_id, 0, may_be_empty=True)


async def test_command_api_may_put_an_app_into_the_list(as_user: As, app_id: str, log_of_app: str):
    apps = AppList(as_user("command-api"), 1000)
    await apps.add(f"{app_id}-new", is_limited=True)
    await apps.add(app_id, is_limited=True)


async def test_command_api_may_look_for_what_it_takes_back(as_user: As, app_id: str, log_of_app: str):
    administrator = as_user("administrator")
    await administrator.hset(names.recent(app_id, 26_000_000), "1", "5-0")  # pyright: ignore
    recent = RecentEntries(as_user("command-api"))
    assert await recent.app_of(1 << 22) is None
    assert await recent.find(app_id, 1 << 22, EventKind.MESSAGE_SENT) is None
    assert await as_user("command-api").xrange(log_of_app, "5-0", "5-0") != []


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

FORBIDDEN = [
    *((user, command) for user in USERS for command in OF_THE_SERVER),
    *((user, ("CONFIG", "GET", "*")) for user in ("command-api", "projector", "push-node")),
    *((user, ("KEYS", "*")) for user in ("command-api", "projector", "push-node")),
    *((user, ("GET", "other")) for user in ("command-api", "projector", "push-node")),
    *((user, ("DEL", "imc:{a}:log")) for user in ("command-api", "projector", "push-node")),
    *((user, ("CLIENT", "KILL", "TYPE", "normal")) for user in ("command-api", "projector", "push-node")),
    *((user, ("EVAL", "return 1", "0")) for user in ("command-api", "projector", "push-node")),
    ("command-api", ("XTRIM", "imc:{a}:log", "MAXLEN", "0")),
    ("command-api", ("SUBSCRIBE", "imc:{a}:live:0")),
    ("projector", ("PUBLISH", "imc:{a}:live:0", "x")),
    ("projector", ("HSET", "imc:workers", "1", "x")),
    ("projector", ("SADD", "imc:apps", "x")),
    ("projector", ("UNLINK", "imc:{a}:gateways")),
    ("projector", ("UNLINK", "imc:{a}:dead-letters")),
    ("command-api", ("SREM", "imc:apps", "x")),
    ("command-api", ("UNLINK", "imc:{a}:log")),
    ("projector", ("SET", "imc:{a}:sent:x", "y")),
    ("projector", ("XADD", "imc:{a}:log", "*", "k", "v")),
    ("projector", ("XDEL", "imc:{a}:log", "1-1")),
    ("projector", ("HSET", "imc:{a}:dead-letters", "f", "x")),
    ("projector", ("EVALSHA", "0" * 40, "1", "imc:{a}:sent:x")),
    ("command-api", ("HSET", "imc:apps", "f", "x")),
    ("command-api", ("XADD", "imc:{a}:dead-letters", "*", "k", "v")),
    ("command-api", ("EVALSHA", "0" * 40, "1", "imc:push-nodes")),
    ("push-node", ("EVALSHA", "0" * 40, "0")),
    ("push-node", ("EVALSHA", "0" * 40, "1", "imc:push-nodes")),
    ("push-node", ("SCRIPT", "LOAD", "return 1")),
    ("push-node", ("FUNCTION", "LIST")),
    ("push-node", ("XADD", "imc:{a}:log", "*", "k", "v")),
    ("push-node", ("HSET", "imc:{a}:log-state", "last", "9-9")),
    ("push-node", ("SMEMBERS", "imc:apps")),
    ("push-node", ("SUBSCRIBE", "other")),
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
        if user in USERS and right[0] in "+~%&" and right.lstrip("+") not in BEYOND_THE_PROOF
    ]


BEYOND_THE_PROOF = {
    *("ping", "select", "info"),  # not needed for the work, or for connecting alone
    *("ssubscribe", "sunsubscribe", "unsubscribe", "discard"),  # for what is not done yet, or undone
    *("script|exists", "xdel"),  # of imc-deadletters, and of nobody
}


@pytest.mark.parametrize(("user", "right"), _given((DEPLOY / "redis/users.acl").read_text()))
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
    if user != "push-node":
        proof = WorkProof(redis)
        of = proof.of_command_api if user == "command-api" else proof.of_projector
        return await RedisHealth(redis, of, registry, "test").ready()
    subscriber = Subscriber(redis, NodeMetrics(registry).subscriptions)
    node = NodeProof(redis, subscriber)
    health = RedisHealth(redis, node.of_commands, registry, "test")

    async def is_decided() -> bool:
        return await health.ready() is not None or await node.of_pushes() != "no Pub/Sub connection"

    async with background.running(subscriber.run()):
        await wait_until(is_decided)
        return await health.ready() or await node.of_pushes()


FORBIDDEN_IN_SCRIPTS = [
    ("projector", ("XADD", "imc:{a}:log", "*", "k", "v")),
    ("projector", ("XDEL", "imc:{a}:log", "1-1")),
    ("projector", ("DEL", "imc:{a}:log")),
    ("projector", ("SET", "imc:{a}:sent:x", "y")),
    ("projector", ("PUBLISH", "imc:{a}:live:0", "x")),
    ("projector", ("FLUSHALL",)),
    *((user, ("CLIENT", "LIST")) for user in ("projector", "command-api")),
    ("command-api", ("XTRIM", "imc:{a}:log", "MAXLEN", "0")),
    ("command-api", ("DEL", "imc:{a}:log")),
    ("command-api", ("GET", "other")),
    ("command-api", ("HSET", "imc:{a}:dead-letters", "f", "x")),
    ("command-api", ("ZADD", "imc:push-nodes", "1", "x")),
    ("command-api", ("CONFIG", "GET", "*")),
]


@pytest.mark.parametrize(("user", "command"), FORBIDDEN_IN_SCRIPTS)
async def test_a_script_may_do_no_more_than_who_runs_it(as_user: As, user: str, command: tuple[str, ...]):
    redis = as_user(user)
    words = ", ".join(f"'{word}'" for word in command)
    script = await redis.script_load(f"return redis.call({words})")
    for key in ((), ("imc:{a}:log",)):
        with pytest.raises(ResponseError, match=r"user executing the script|not allowed from script"):
            await redis.evalsha(script, len(key), *key)  # pyright: ignore
