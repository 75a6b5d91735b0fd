"""Transactions on two nodes change the same rows, on purpose: who loses is repeated, none is given up."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

import pytest
import structlog
from imc_command_api.store import write_through
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_command_api.store.write_through import ProjectionWriteThrough
from imc_contracts import events, views
from imc_contracts.cursor import EntryId
from imc_contracts.views import STATUS_RETIRED, Message
from imc_service.database import database as database_module
from imc_service.database.database import Database, Session, WriteConflict, open_database
from imc_testkit import databases
from imc_testkit.galera import GaleraCluster, node_url
from imc_testkit.waiting import wait_until

CREATED = 1_790_000_000_000
ROUNDS = 8
MESSAGES = 30


@pytest.fixture
async def nodes(cluster: GaleraCluster) -> AsyncGenerator[list[Database]]:
    """A pool for each of two nodes."""
    async with (
        open_database(node_url(cluster.nodes[0], "imc")) as first,
        open_database(node_url(cluster.nodes[1], "imc")) as second,
    ):
        yield [first, second]


@pytest.fixture
def places() -> Iterator[int]:
    return itertools.count(1)


def messages_of(app_id: str) -> list[Message]:
    first = time.time_ns() // 1000
    return [
        {
            "messageId": str(first + number),
            "appId": app_id,
            "groupId": "g",
            "userId": "u",
            "content": "hello",
            "createTime": CREATED,
            "recallTime": 0,
            "recallCause": None,
            "status": 1,
            "type": None,
        }
        for number in range(MESSAGES)
    ]


def sent(messages: Sequence[Message], places: Iterator[int]) -> list[PlacedEntry]:
    return [
        PlacedEntry(message["appId"], events.message_sent(message).at(EntryId(CREATED, next(places))))
        for message in messages
    ]


def recalled(message: Message, places: Iterator[int]) -> PlacedEntry:
    event = events.message_recalled(views.recalled(message, CREATED + 1, None))
    return PlacedEntry(message["appId"], event.at(EntryId(CREATED, next(places))))


async def conflicts_of(cluster: GaleraCluster) -> int:
    return sum([await node.conflicts() for node in cluster.nodes])


@pytest.mark.timeout(300)
async def test_two_projectors_that_store_the_same_entries_count_them_once(
    cluster: GaleraCluster, nodes: list[Database], app_id: str, places: Iterator[int]
) -> None:
    before, total = await conflicts_of(cluster), 0
    projections = [Projection(node) for node in nodes]
    # Until there were conflicts: on a slow machine the two may take turns by chance.
    for round_ in itertools.count(1):
        messages = messages_of(app_id)
        total += len(messages)
        entries = sent(messages, places)
        entries += [recalled(message, places) for message in messages[::3]]
        await asyncio.gather(*(projection.apply(entries) for projection in projections))
        if round_ >= ROUNDS and await conflicts_of(cluster) > before:
            break
    count = f"SELECT COUNT(*), SUM(status = {STATUS_RETIRED}) FROM imc_message WHERE app_id = '{app_id}'"
    grown = f"SELECT message_total FROM imc_group WHERE app_id = '{app_id}'"
    for node in cluster.nodes:
        url = node_url(node, "imc")
        await wait_until(lambda url=url: has(url, count, [(total, total // 3)]), what="all rows")
        assert await databases.run(url, grown) == [(total,)]


async def has(url: str, select: str, rows: list[tuple[Any, ...]]) -> bool:
    return await databases.run(url, select) == rows


@pytest.mark.timeout(300)
async def test_no_recall_is_left_to_the_projector_because_another_node_was_faster(
    cluster: GaleraCluster,
    nodes: list[Database],
    app_id: str,
    places: Iterator[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # That conflicts end a recall is what is tested, not how fast this machine is.
    monkeypatch.setattr(write_through, "DEADLINE_SECONDS", 60)
    before = await conflicts_of(cluster)
    projector, write = Projection(nodes[0]), ProjectionWriteThrough(Projection(nodes[1]))
    with structlog.testing.capture_logs() as told:
        for round_ in itertools.count(1):
            messages = messages_of(app_id)
            storing = [projector.apply([entry]) for entry in sent(messages, places)]
            recalls = [recalled(message, places) for message in messages]
            await asyncio.gather(*storing, *(write(app_id, recall.entry) for recall in recalls))
            ids = ", ".join(message["messageId"] for message in messages)
            shown = (
                f"SELECT COUNT(*) FROM imc_message WHERE status <> {STATUS_RETIRED} AND message_id IN ({ids})"
            )
            assert await nodes[1].fetch_all(shown) == [(0,)]
            if round_ >= ROUNDS and await conflicts_of(cluster) > before:
                break
    assert [line for line in told if "left to the projector" in line["event"]] == []


async def test_a_transaction_that_loses_at_its_commit_is_repeated_on_its_connection(
    cluster: GaleraCluster, nodes: list[Database]
) -> None:
    first, second = nodes
    async with first.session() as session:
        await session.execute(
            "CREATE OR REPLACE TABLE counter (id INT PRIMARY KEY, value INT) ENGINE = InnoDB"
        )
        await session.execute("INSERT INTO counter (id, value) VALUES (1, 0)")
    counted = "SELECT value FROM counter WHERE id = 1"
    await wait_until(lambda: has(node_url(cluster.nodes[1], "imc"), counted, [(0,)]))
    connections: list[int] = []

    async def lose_once(session: Session) -> None:
        connections.append((await session.fetch_all("SELECT CONNECTION_ID()"))[0][0])
        await session.execute("UPDATE counter SET value = value + 1 WHERE id = 1")
        if len(connections) == 1:
            async with second.session() as other:
                await other.execute("UPDATE counter SET value = value + 10 WHERE id = 1")

    await first.commit(lose_once)
    assert len(connections) == 2
    assert len(set(connections)) == 1
    assert await first.fetch_all(counted) == [(11,)]


async def test_who_loses_every_time_is_told(nodes: list[Database], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "MOST_CONFLICTS", 3)
    attempts = 0

    async def lose(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await session.execute("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock'")

    with pytest.raises(WriteConflict, match=r"^1213 Deadlock"):
        await nodes[0].commit(lose)
    assert attempts == 3
