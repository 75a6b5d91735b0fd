"""Connections of the drivers."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from imc_service.database._drivers import SqliteDriver
from imc_service.database.url import SqliteFile

_NAMELESS = """
import asyncio, os, pwd, sys
def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = nobody
from imc_service.database.database import open_database
async def main():
    async with open_database(sys.argv[1]) as database:
        print(await database.fetch_all("SELECT 'connected'"))
asyncio.run(main())
assert "LOGNAME" not in os.environ
"""


def test_a_user_without_a_name_connects(empty_database_url: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _NAMELESS, empty_database_url],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "[('connected',)]\n", run.stderr


@pytest.mark.parametrize(
    ("path", "cancelled", "error"),
    [
        ("none/imc.db", False, sqlite3.OperationalError),
        ("none/imc.db", True, asyncio.CancelledError),
        ("imc\0.db", False, ValueError),
    ],
)
async def test_no_thread_is_left_of_a_file_that_can_not_be_opened(
    path: str, cancelled: bool, error: type[BaseException], tmp_path: Path
) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(lambda: None)
    before = {*threading.enumerate()}
    driver = SqliteDriver(SqliteFile(str(tmp_path / path)), deadline=1)
    for _ in range(20):
        connecting = asyncio.ensure_future(driver.connect())
        await asyncio.sleep(0)
        if cancelled:
            connecting.cancel()
        with pytest.raises(error):
            await connecting
        assert {*threading.enumerate()} <= before
