"""Tests the choice between two databases, without a server: SQLite files stand for primary and replica."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.errors import Refused
from imc_contracts.schema import MESSAGE_VIEW_COLUMNS, MESSAGES
from imc_query_api.freshness.positions import Positions
from imc_query_api.freshness.reads import WAIT_SECONDS, Reads
from imc_query_api.freshness.replica import Behind, LagBounds, Replica
from imc_query_api.freshness.sources import Primary, Queries, ReadReplica
from imc_query_api.queries.store import query_seconds
from imc_service.background import running
from imc_service.database.database import Database, Row, StoreUnavailable, Values, open_database
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

CURSOR = Cursor("b7", EntryId(1_700_000_000_000, 0))


class SaidToBeFresh:
    """Stands for `Replica`, and is as fresh as the test says."""

    lag = 0.0

    def __init__(self) -> None:
        self.may_answer = True

    def require(self) -> None:
        if not self.may_answer:
            raise Behind("it is behind")

    def reading(self) -> AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()


@contextlib.asynccontextmanager
async def database_of(folder: Path, migrated: Path, name: str) -> AsyncGenerator[Database]:
    """A database with one message, whose content is ``name``."""
    row = (1, "app", "g", "u", name, 5, 0, None, 1, None)
    async with open_database(f"sqlite:///{shutil.copy(migrated, folder / name)}", size=1) as database:
        async with database.session() as session:
            columns, marks = ", ".join(MESSAGE_VIEW_COLUMNS), ", ".join("?" * len(row))
            await session.execute(f"INSERT INTO {MESSAGES} ({columns}) VALUES ({marks})", row)
        yield database


async def content(queries: Queries) -> str:
    return (await queries.messages.one("app", 1))["content"]


async def test_the_wait_for_a_connection_counts(tmp_path: Path, migrated_sqlite: Path) -> None:
    state, seconds = SaidToBeFresh(), query_seconds(None)
    async with (
        database_of(tmp_path, migrated_sqlite, "primary") as primary_database,
        database_of(tmp_path, migrated_sqlite, "replica") as replica_database,
    ):
        primary = Primary(primary_database, seconds)
        replica = ReadReplica(replica_database, seconds, cast(Replica, state), primary)
        reads = Reads(primary, replica, CollectorRegistry())
        assert await reads.read(content, "app") == "replica"
        async with replica_database.session():
            waiting = asyncio.create_task(reads.read(content, "app"))
            done, _ = await asyncio.wait({waiting}, timeout=0.05)
            assert not done
            state.may_answer = False
        assert await waiting == "primary"


class CountingDatabase:
    """Counts statements, and answers each when it may."""

    is_sqlite = True

    def __init__(self, answers: Sequence[Row] = ()) -> None:
        self.answers = list(answers)
        self.statements = 0
        self.gate = asyncio.Event()

    async def fetch_all(self, _sql: str, _values: Values = ()) -> list[Row]:
        self.statements += 1
        await self.gate.wait()
        return self.answers


async def test_callers_at_once_share_a_look() -> None:
    database = CountingDatabase([("5",)])
    positions = Positions(cast(Database, database))
    asked = [asyncio.create_task(positions.has("app", position)) for position in ("4", "5", "6")]
    other = asyncio.create_task(positions.has("another app", "5"))
    await wait_until(lambda: database.statements == 2)
    asked[0].cancel()  # a client that goes away does not take the look with it
    database.gate.set()
    assert await asyncio.gather(*asked[1:], other) == [True, False, True]
    assert database.statements == 2
    assert await positions.has("app", "5")
    assert database.statements == 3


async def test_queries_that_wait_for_an_app_look_a_few_times() -> None:
    database = CountingDatabase()
    database.gate.set()
    reads = Reads(Primary(cast(Database, database), query_seconds(None)), None, CollectorRegistry())
    refused = await asyncio.gather(
        *(reads.read(content, "app", CURSOR) for _ in range(200)), return_exceptions=True
    )
    assert all(isinstance(each, Refused) and "minCursor" in each.message for each in refused)
    assert database.statements <= 1 + WAIT_SECONDS / 0.02  # one a tick


def test_a_query_waits_as_long_as_its_document_says() -> None:
    assert WAIT_SECONDS == 2, "docs/api.md: up to two seconds"


async def test_a_primary_that_does_not_answer_is_told_as_that() -> None:
    reads = Reads(Primary(cast(Database, CountingDatabase()), query_seconds(None)), None, CollectorRegistry())
    with pytest.raises(Refused, match="the store is out of reach"):
        await reads.read(content, "app", CURSOR)


async def test_a_replica_without_a_heartbeat_is_not_read(tmp_path: Path, migrated_sqlite: Path) -> None:
    async with database_of(tmp_path, migrated_sqlite, "one") as database:
        replica = Replica(database, database, LagBounds(1, 1))
        async with running(replica.keep_looking()):
            await wait_until(lambda: "no heartbeat" in (replica.trouble() or ""))
        assert not replica.may_answer


async def test_queries_under_way_leave_a_replica_that_is_out_of_reach() -> None:
    class Away:
        async def fetch_all(self, *_: Any) -> list[Row]:
            raise StoreUnavailable("out of reach (it is gone)")

    away = cast(Database, Away())
    replica = Replica(away, away, LagBounds(1, 1))
    for _ in range(2):  # the second time, nobody is told a second time
        with pytest.raises(TimeoutError):
            async with replica.reading(), running(replica.keep_looking()):
                await asyncio.Event().wait()
    assert replica.trouble() == "out of reach (it is gone)"


async def test_a_replica_that_is_fresh_after_a_query_was_not_so_for_it(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    state, seconds = SaidToBeFresh(), query_seconds(None)
    async with database_of(tmp_path, migrated_sqlite, "both") as database:
        replica = ReadReplica(database, seconds, cast(Replica, state), Primary(database, seconds))
        state.may_answer = False
        with pytest.raises(Refused):
            async with replica.store.session():
                state.may_answer = True


class Beating:
    """A database whose newest beat is as the test says, and which takes its time to tell."""

    def __init__(self) -> None:
        self.beat, self.asked_at = 5, 0.0

    async def fetch_all(self, *_: Any) -> list[Row]:
        self.asked_at = time.monotonic()
        await asyncio.sleep(0.05)
        return [(self.beat,)]


async def test_a_beat_proves_nothing_of_the_time_in_which_the_primary_was_asked() -> None:
    primary, there = Beating(), Beating()
    replica = Replica(cast(Database, primary), cast(Database, there), LagBounds(60, 60))
    await replica._look()  # pyright: ignore[reportPrivateUsage]
    asked_at = primary.asked_at
    primary.beat = there.beat = 6
    await replica._look()  # pyright: ignore[reportPrivateUsage]
    now = time.monotonic()
    assert now - 60 < now - replica.lag <= asked_at
