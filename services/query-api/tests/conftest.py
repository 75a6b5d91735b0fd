"""The application on both kinds of database, with rows whose ids are easy to confuse."""

import contextlib
import itertools
import random
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_contracts.schema import GROUPS, MESSAGE_VIEW_COLUMNS, MESSAGES, NOTICE_VIEW_COLUMNS, NOTICES
from imc_query_api.app import create_app
from imc_query_api.settings import QueryApiSettings
from imc_service.database.database import Database, open_database
from imc_service.settings import load
from imc_testkit.tokens import OFF

Rows = list[dict[str, Any]]
Serving = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

# Different ids that look equal, or are equal when case or the Unicode form is ignored.
NAMES = ("g", "G", "g.", "ｇ", "gé", "ge\u0301", "g\u200b", "群 g", "群\u3000g", "🙂", "%", "_", "'\"\\")
START = 1_700_000_000_000


@pytest.fixture(scope="session")
def shared_sqlite_url(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated SQLite file for all tests here. Each test must use its own app."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path_factory.mktemp('query-api') / 'imc.db')}"


@pytest.fixture(scope="session", params=["mariadb", "sqlite"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Each test that asks for this runs once on each kind of database."""
    return request.getfixturevalue("database_url" if request.param == "mariadb" else "shared_sqlite_url")


@pytest.fixture(scope="session")
async def database(store_url: str) -> AsyncGenerator[Database]:
    async with open_database(store_url) as database:
        yield database


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Starts a query-api on the database of the given URL, with more variables, and yields a client of it."""

    @contextlib.asynccontextmanager
    async def serve(url: str, variables: Mapping[str, str] = {}) -> AsyncGenerator[httpx.AsyncClient]:
        app: Any = create_app(load(QueryApiSettings, {**OFF, "IMC_DATABASE_URL": url, **variables}))

        async def call(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(call, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app) as state,
            httpx.AsyncClient(transport=transport, base_url="http://query-api") as client,
        ):
            yield client

    return serve


@pytest.fixture(scope="session")
async def client(store_url: str, serving: Serving) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(store_url) as client:
        yield client


@pytest.fixture
def insert_messages(database: Database) -> Callable[[Rows], Awaitable[None]]:
    """Inserts messages, and updates the rows of groups as the projection does."""
    return lambda rows: write_messages(database, rows)


async def write_messages(database: Database, rows: Rows) -> None:
    apps = {row["app_id"] for row in rows}
    marks = ", ".join("?" * len(MESSAGE_VIEW_COLUMNS))
    async with database.transaction() as session:
        await session.execute_many(
            f"INSERT INTO {MESSAGES} ({', '.join(MESSAGE_VIEW_COLUMNS)}) VALUES ({marks})",
            [tuple(row[column] for column in MESSAGE_VIEW_COLUMNS) for row in rows],
        )
        for app in apps:
            await session.execute(f"DELETE FROM {GROUPS} WHERE app_id = ?", (app,))
            found = await session.fetch_all(
                f"SELECT group_id, create_time, message_id FROM {MESSAGES} WHERE app_id = ?", (app,)
            )
            found.sort()
            for group, members in itertools.groupby(found, key=lambda row: row[0]):
                *_, (_, newest_time, newest_id) = of_group = list(members)
                await session.execute(
                    f"INSERT INTO {GROUPS} VALUES (?, ?, ?, ?, ?)",
                    (app, group, len(of_group), newest_id, newest_time),
                )


async def write_notices(database: Database, rows: Rows) -> None:
    marks = ", ".join("?" * len(NOTICE_VIEW_COLUMNS))
    async with database.transaction() as session:
        await session.execute_many(
            f"INSERT INTO {NOTICES} ({', '.join(NOTICE_VIEW_COLUMNS)}) VALUES ({marks})",
            [tuple(row[column] for column in NOTICE_VIEW_COLUMNS) for row in rows],
        )


def ids() -> Iterator[int]:
    """Unique ids in random order, also across tests on the same database."""
    while True:
        yield random.SystemRandom().getrandbits(62) + 1


@pytest.fixture
def two_apps(app_id: str) -> tuple[str, str]:
    """Two apps with the same groups and users. Their ids differ only in case."""
    return app_id, app_id.upper()


@pytest.fixture
async def messages(database: Database, two_apps: tuple[str, str]) -> Rows:
    """Messages of two apps, many per millisecond, with ids in random order; half of them in one group."""
    chance = random.Random(7)
    rows: Rows = []
    for number, message_id in zip(range(700), ids(), strict=False):
        recalled = chance.random() < 0.2
        rows.append(
            {
                "message_id": message_id,
                "app_id": chance.choice(two_apps),
                "group_id": NAMES[0] if number % 2 else chance.choice(NAMES),
                "user_id": NAMES[0] if number % 3 else chance.choice(NAMES),
                # Also of recalled messages: the view must not show it.
                "content": chance.choice(["", f"text {number}", '"\\\n\0🙂\u2028']),
                "create_time": START + chance.randrange(20),
                "recall_time": START + 1000 if recalled else 0,
                "recall_cause": chance.choice([None, "a cause"]) if recalled else None,
                "status": 0 if recalled else 1,
                "type": chance.choice([None, 0, 1, -(2**31), 2**31 - 1]),
            }
        )
    await write_messages(database, rows)
    return rows


@pytest.fixture
async def notices(database: Database, two_apps: tuple[str, str]) -> Rows:
    """Notices of two apps, many per millisecond, a third of them deleted."""
    chance = random.Random(8)
    rows: Rows = []
    for number, notice_id in zip(range(400), ids(), strict=False):
        deleted = chance.random() < 0.33
        rows.append(
            {
                "information_id": notice_id,
                "app_id": chance.choice(two_apps),
                "group_id": NAMES[0] if number % 2 else chance.choice(NAMES),
                "user_id": NAMES[0] if number % 3 else chance.choice(NAMES),
                "title": chance.choice([None, "", "标题 🙂"]),
                "content": f"notice {number}",
                "create_time": START + chance.randrange(20),
                "delete_time": START + 1000 if deleted else 0,
                "jump_url": chance.choice([None, "imc://group/1?a=b&c=d"]),
                "status": 0 if deleted else 1,
                "type": chance.choice([None, 3]),
            }
        )
    await write_notices(database, rows)
    return rows


@pytest.fixture
async def long_group(database: Database, app_id: str) -> Rows:
    """One group of 5,003 messages in order, three per millisecond, by ten users in turn."""
    first = next(ids()) // 2
    rows: Rows = [
        {
            "message_id": first + number,
            "app_id": app_id,
            "group_id": "long",
            "user_id": f"user-{number % 10}",
            "content": f"text {number}",
            "create_time": START + number // 3,
            "recall_time": 0,
            "recall_cause": None,
            "status": 1,
            "type": None,
        }
        for number in range(5003)
    ]
    await write_messages(database, rows)
    return rows
