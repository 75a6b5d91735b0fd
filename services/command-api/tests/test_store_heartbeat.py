"""Tests that the heartbeat grows, by one process or several. Others may beat on the same database."""

import asyncio
import shutil
from pathlib import Path

import pytest
from imc_command_api.store.heartbeat import Heartbeat
from imc_contracts.schema import HEARTBEATS
from imc_service.background import running
from imc_service.database.database import Database, StoreUnavailable, open_database
from imc_testkit.waiting import wait_until


@pytest.fixture
async def silent(database: Database) -> Database:
    """A database without a heartbeat."""
    async with database.session() as session:
        await session.execute(f"DELETE FROM {HEARTBEATS}")
    return database


async def beat_of(database: Database) -> int:
    [(beat,)] = await database.fetch_all(f"SELECT beat FROM {HEARTBEATS}")
    return beat


async def test_each_call_of_one_process_lets_it_grow(silent: Database) -> None:
    heartbeat = Heartbeat(silent)
    for expected in (1, 2, 3):
        await heartbeat.beat()
        assert await beat_of(silent) == expected


async def test_a_process_that_beats_alone_asks_nothing(
    silent: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = Heartbeat(silent)
    await heartbeat.beat()
    before = await beat_of(silent)
    with monkeypatch.context() as patched:
        patched.delattr(type(silent), "fetch_all")
        await heartbeat.beat()
        await heartbeat.beat()
    assert await beat_of(silent) == before + 2


async def test_a_process_does_not_write_while_another_does(silent: Database) -> None:
    first, second = Heartbeat(silent), Heartbeat(silent)
    for expected in (1, 2, 3):
        await first.beat()
        await second.beat()
        assert await beat_of(silent) == expected
    await second.beat()
    assert await beat_of(silent) == 4


async def test_processes_that_write_at_once_let_it_grow_by_one(silent: Database) -> None:
    heartbeats = [Heartbeat(silent) for _ in range(5)]
    for expected in (1, 2, 3):
        before = 0 if expected == 1 else await beat_of(silent)
        await asyncio.gather(*(heartbeat.beat() for heartbeat in heartbeats))
        assert before < await beat_of(silent) <= before + len(heartbeats)


async def test_it_begins_once_the_table_is_there(tmp_path: Path, migrated_sqlite: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'late.db'}") as late:
        heartbeat = Heartbeat(late)
        with pytest.raises(StoreUnavailable, match=f"no such table: {HEARTBEATS}"):
            await heartbeat.beat()
        async with running(heartbeat.keep_beating()):
            await asyncio.sleep(0)
            shutil.copy(migrated_sqlite, tmp_path / "late.db")
            await wait_until(lambda: _has_beaten(late), what="two beats")


async def test_it_beats_until_it_is_cancelled(silent: Database) -> None:
    async with running(Heartbeat(silent).keep_beating()):
        await wait_until(lambda: _has_beaten(silent), what="two beats")


async def _has_beaten(database: Database) -> bool:
    rows = await database.fetch_all(f"SELECT beat FROM {HEARTBEATS}")
    return bool(rows) and rows[0][0] >= 2
