"""What `_drivers` and `_mysql_rows` rely on in other packages, beyond the documentation of these."""

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import aiomysql
import aiomysql.connection
import databases
import pymysql.err
from databases.backends.sqlite import SQLitePool
from databases.core import Connection

ASK = (
    "is gone: look at _drivers.py, _mysql_rows.py and the release notes of the package, then raise "
    "its ceiling in libs/imc-service/pyproject.toml"
)


def test_the_private_names_are_there() -> None:
    used = {
        aiomysql.connection.Connection: (
            *("_secure", "_reader", "_writer", "_execute_command", "server_status", "get_transaction_status"),
            *("escape", "_password", "encode('latin1')"),
        ),
        aiomysql.connection._StreamReader: ("eof_received",),  # pyright: ignore
        aiomysql.Cursor: ("max_stmt_length",),  # pyright: ignore
        databases.Database: ("_backend",),
        SQLitePool: ("_database",),
        Connection: ("__aenter__", "__aexit__", "raw_connection"),
        pymysql.err.Error: ("sqlstate",),
    }
    for owner, names in used.items():
        source = inspect.getsource(owner)
        for name in names:
            assert name in source, f"{owner.__module__}.{owner.__qualname__}: {name} {ASK}"


def test_the_versions_have_a_ceiling() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for package in ("aiomysql", "databases", "pymysql", "aiosqlite"):
        [bounds] = [need for need in project["dependencies"] if need.startswith(package)]
        assert ">=" in bounds, bounds
        assert "<" in bounds, bounds


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
