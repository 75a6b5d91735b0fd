"""The search index of examples/mirror: nothing is missing or twice, however often it is killed."""

import asyncio
import contextlib
import importlib.util
import os
import sqlite3
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.child import Child
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.tokens import JWT, bearer, token
from imc_testkit.waiting import wait_until
from project_files import ROOT

MIRROR = ROOT / "examples/mirror/mirror.py"
GROUPS = 7
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("mirror"), JWT) as deployment:
        yield deployment


class World:
    """An app with messages, and an index of it."""

    def __init__(self, url: str, app_id: str, index: Path) -> None:
        self.url, self.app_id, self.index = url, app_id, index
        self.http = httpx.AsyncClient(base_url=url, headers=bearer(app_id), trust_env=False)
        self.contents: dict[int, str] = {}
        """What may be found, by messageId."""

    def mirror(self, *more: str, scope: str = "gateway read") -> Child:
        """The program, with a token of this scope."""
        arguments = [sys.executable, str(MIRROR), str(self.index), "--url", self.url, "--app", self.app_id]
        return Child([*arguments, *more], {**ENVIRONMENT, "IMC_TOKEN": token(self.app_id, scope)})

    async def send(self, count: int) -> list[int]:
        """Send so many messages."""
        first = len(self.contents)
        messages = [
            {
                "appId": self.app_id,
                "groupId": f"g{number % GROUPS}",
                "userId": "u",
                "content": f"word{number}",
            }
            for number in range(first, first + count)
        ]
        reply = await self.http.post("/v1/commands/send-messages", json={"messages": messages})
        ids = [int(receipt["messageId"]) for receipt in reply.json()["data"]]
        self.contents |= dict(zip(ids, (message["content"] for message in messages), strict=True))
        return ids

    async def recall(self, message_id: int) -> None:
        body = {"appId": self.app_id, "messageId": str(message_id)}
        reply = await self.http.post("/v1/commands/recall-message", json=body)
        assert reply.status_code == 200
        # Found no more, but it was there.
        self.contents[message_id] = ""

    def indexed(self) -> list[tuple[int, str]]:
        """What the index has."""
        with contextlib.closing(sqlite3.connect(self.index)) as database:
            try:
                return database.execute("SELECT rowid, content FROM message ORDER BY rowid").fetchall()
            except sqlite3.OperationalError:
                return []  # there is no table yet

    async def is_complete(self) -> bool:
        expected = sorted((number, text) for number, text in self.contents.items() if text)
        return await asyncio.to_thread(self.indexed) == expected

    async def until_complete(self) -> None:
        await wait_until(self.is_complete, 30, 0.05, what="the index to be complete")

    def change(self, statement: str) -> None:
        """Change the index by hand."""
        with contextlib.closing(sqlite3.connect(self.index)) as database, database:
            database.execute(statement)


@pytest.fixture
async def world(installation: Deployment, app_id: str, tmp_path: Path) -> AsyncGenerator[World]:
    world = World(installation.push_nodes[0].url, app_id, tmp_path / "index.db")
    async with world.http:
        yield world


@contextlib.asynccontextmanager
async def running(child: Child) -> AsyncGenerator[Child]:
    child.spawn()
    try:
        yield child
    finally:
        await child.close()


async def test_history_then_events_then_recalls(world: World) -> None:
    before = await world.send(30)
    async with running(world.mirror()):
        await world.until_complete()
        after = await world.send(20)
        for message_id in (before[3], after[3]):
            await world.recall(message_id)
        await world.until_complete()
        search = world.mirror("--search", "word5")
        search.spawn()
        assert await search.wait(10) == 0
        assert search.log.split() == [str(before[5]), "g5", "u", "word5"]
        await search.close()


async def test_killed_again_and_again(world: World) -> None:
    done = asyncio.Event()

    async def write() -> None:
        number = 0
        while not done.is_set():
            ids = await world.send(10)
            if number % 5 == 0:
                await world.recall(ids[0])
            number += 1
            await asyncio.sleep(0.05)

    writing = asyncio.create_task(write())
    for _ in range(6):
        async with running(world.mirror()) as child:
            reached = len(world.indexed())
            await wait_until(lambda before=reached: len(world.indexed()) > before, 30, 0.01)
            await child.kill()
    done.set()
    await writing
    async with running(world.mirror()):
        await world.until_complete()


async def test_a_gap_is_filled_from_the_history(world: World) -> None:
    first = await world.send(20)
    async with running(world.mirror()):
        await world.until_complete()
    missed = await world.send(20)
    await world.recall(first[7])
    await world.recall(missed[7])
    world.change("UPDATE position SET cursor = '0f0f0f0f.1-0'")
    async with running(world.mirror()):
        await world.until_complete()
        await world.send(1)
        await world.until_complete()


async def test_it_stops_where_a_retry_is_of_no_use(world: World) -> None:
    async with running(world.mirror(scope="read")) as child:
        assert await child.wait(10) == 1
        assert "scope" in child.log
    await world.send(1)
    async with running(world.mirror()) as older:
        await world.until_complete()
        async with running(world.mirror()):
            assert await older.wait(10) == 1
            assert "newer" in older.log


@pytest.mark.parametrize(
    ("erased", "left"),
    [
        ({"userId": "ann", "groupId": None}, ["3"]),
        ({"userId": None, "groupId": "g"}, ["2"]),
        ({"userId": None, "groupId": None}, []),
    ],
)
def test_what_is_erased_leaves_the_index(erased: dict[str, Any], left: list[str]) -> None:
    spec = importlib.util.spec_from_file_location("mirror", MIRROR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with contextlib.closing(sqlite3.connect(":memory:")) as database, httpx.Client() as nobody:
        mirror = module.Mirror(nobody, "app", "mirror", database)
        for id_, user, group in (("1", "ann", "g"), ("2", "ann", "h"), ("3", "bob", "g")):
            message = {"messageId": id_, "userId": user, "groupId": group, "content": id_, "createTime": 1}
            mirror.take(2001, message | {"status": 1})
        mirror.take(2006, erased)
        mirror.take(2999, {})
        assert [content for (content,) in database.execute("SELECT content FROM message")] == left
