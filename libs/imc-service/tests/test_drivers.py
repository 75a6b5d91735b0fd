"""Connections of the drivers."""

import subprocess
import sys

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
