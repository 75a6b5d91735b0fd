"""How the table of slots is read, and how a cluster is reached with TLS by users of few rights."""

import contextlib
import subprocess
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from imc_service.redis import masters as redis_masters
from imc_service.redis import slots
from imc_service.redis.errors import NotConnected
from imc_service.redis.slots import SlotTable
from imc_service.redis.url import check
from imc_testkit.redis_cluster import PrivateCluster, private_cluster

ASKED = ("seed", 7000)


def node(role: str, port: int, **more: Any) -> dict[bytes, Any]:
    given = {
        "port": port,
        "ip": b"10.0.0.1",
        "endpoint": b"10.0.0.1",
        "role": role.encode(),
        "health": b"online",
    }
    return {name.encode(): value for name, value in (given | more).items()}


def shard(ranges: list[int], *nodes: dict[bytes, Any]) -> dict[bytes, Any]:
    return {b"slots": ranges, b"nodes": list(nodes)}


def test_a_table_says_who_holds_which_slots() -> None:
    table = slots.of_shards(
        [
            shard([100, 16383], node("master", 2)),
            shard([0, 10, 12, 99], node("replica", 3), node("master", 1)),
        ],
        ASKED,
        is_tls=False,
    )
    first, second = ("10.0.0.1", 1), ("10.0.0.1", 2)
    assert table.ranges == ((0, 10, first), (12, 99, first), (100, 16383, second))
    assert table.up == {first, second, ("10.0.0.1", 3)}
    assert table.uncovered == 1
    assert table == SlotTable(table.ranges, frozenset())  # tables are compared by who holds what


def test_the_one_that_took_over_stands_beside_the_one_that_failed() -> None:
    failed = node("master", 1, health=b"fail")
    for nodes in ([failed, node("master", 2)], [node("master", 2), failed]):
        table = slots.of_shards([shard([0, 16383], *nodes)], ASKED, is_tls=False)
        assert table.ranges == ((0, 16383, ("10.0.0.1", 2)),)
    table = slots.of_shards([shard([0, 16383], failed, node("replica", 2))], ASKED, is_tls=False)
    assert (table.ranges, table.uncovered) == (((0, 16383, ("10.0.0.1", 1)),), 16384)


@pytest.mark.parametrize(
    ("endpoint", "ip", "host"),
    [
        (b"redis-0.test", b"10.0.0.1", "redis-0.test"),  # cluster-preferred-endpoint-type hostname
        (b"?", b"10.0.0.1", "10.0.0.1"),  # the same, without a name
        (None, b"10.0.0.1", "seed"),  # unknown-endpoint: where it was asked
        (b"", b"", "seed"),  # it does not know its address yet
        (b"::1", b"::1", "::1"),
    ],
)
def test_a_node_is_where_it_announces_or_where_it_was_asked(
    endpoint: bytes | None, ip: bytes, host: str
) -> None:
    reply = [shard([0, 16383], node("master", 1, endpoint=endpoint, ip=ip))]
    assert slots.of_shards(reply, ASKED, is_tls=False).ranges == ((0, 16383, (host, 1)),)
    if endpoint != b"?":
        assert slots.of_slots([[0, 16383, [endpoint, 1, b"id"]]], ASKED).ranges == ((0, 16383, (host, 1)),)


def test_with_tls_the_port_is_that_of_tls() -> None:
    reply = [shard([0, 16383], node("master", 1, **{"tls-port": 2}), node("replica", 3))]
    table = slots.of_shards(reply, ASKED, is_tls=True)
    assert (table.ranges, table.up) == (((0, 16383, ("10.0.0.1", 2)),), {("10.0.0.1", 2)})


def test_the_older_reply_says_the_same() -> None:
    reply = [[0, 99, [b"a", 1, b"id", {}], [b"b", 2, b"id"]], [100, 16383, [b"c", 3, b"id"]]]
    table = slots.of_slots(reply, ASKED)
    assert table.ranges == ((0, 99, ("a", 1)), (100, 16383, ("c", 3)))
    assert table.up == {("a", 1), ("b", 2), ("c", 3)}


@pytest.mark.parametrize(
    ("key", "same"), [("{1}:a", "{1}:b"), ("imc:{17}:log:demo", "imc:{17}:pending"), ("{}a", "{}a")]
)
def test_keys_of_one_hash_tag_have_one_slot(key: str, same: str) -> None:
    assert slots.slot_of(key) == slots.slot_of(same)
    assert slots.slot_of("123456789") == 0x31C3  # the example of the specification of Redis Cluster
    assert slots.slot_of("{}a") != slots.slot_of("{}b")


RIGHTS = ("~*", "+ping", "+select", "+set", "+asking")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and the certificate of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=imc.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    command = ["openssl", "req", "-x509", "-days", "2", *key, *subject, "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
async def cluster(certificate: Path) -> AsyncGenerator[PrivateCluster]:
    """A cluster with TLS, and users that may ask for the table in one way, in the other, and not at all."""
    users = {"shards": ("+cluster|shards",), "slots": ("+cluster|slots",), "none": ()}
    options = [
        part for user, more in users.items() for part in ("--user", user, "on", ">p@ss", *RIGHTS, *more)
    ]
    async with private_cluster(*options, tls=certificate) as cluster:
        yield cluster


Url = Callable[[str], str]


@pytest.fixture
def url_of(cluster: PrivateCluster, certificate: Path) -> Url:
    """Gives the URL for a user."""
    options = f"ssl_ca_certs={certificate / 'certificate.pem'}"
    return lambda user: check(f"{cluster.url.replace('://', f'://{user}:p%40ss@')}?{options}")


@pytest.mark.parametrize("user", ["shards", "slots"])
async def test_a_cluster_with_tls_and_a_user_of_few_rights(
    cluster: PrivateCluster, url_of: Url, user: str
) -> None:
    async with contextlib.aclosing(redis_masters.connect(url_of(user))) as masters:
        keys = [f"{{{number}}}" for number in range(20)]
        assert await masters.each([(key, ("SET", key, 1)) for key in keys]) == [True] * 20
        assert len(masters.by_master(keys)) == 3
    for node in await cluster.masters():
        assert {"cmdstat_set"} <= (await node.command("INFO", "commandstats")).keys()


async def test_a_user_who_may_not_ask_for_the_table_is_told(url_of: Url) -> None:
    async with contextlib.aclosing(redis_masters.connect(url_of("none"))) as masters:
        with pytest.raises(NotConnected, match=r"NOPERM .*'cluster\|slots'"):
            await masters.run("a", lambda redis: cast(Any, redis).set("a", 1))
