"""What the tests of push-node share: a log written as command-api writes it, nodes, a command-api to call."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from imc_contracts import names
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.events import (
    Event,
    RecallMark,
    message_recalled,
    message_sent,
    notice_deleted,
    notice_published,
)
from imc_contracts.log_changes import PATH
from imc_contracts.roster import bounds_of
from imc_contracts.views import Message, Notice, deleted, recalled
from imc_push_node.app import create_app, server_options
from imc_push_node.gateway.gateway import Gateway
from imc_push_node.gateway.keepalive import Keepalive
from imc_push_node.http.state import PushNode
from imc_push_node.settings import PushNodeSettings
from imc_push_node.stream.changes import GATEWAYS
from imc_push_node.stream.hub import App
from imc_service.redis.masters import Masters
from redis.asyncio import Redis

APPEND = Path(__file__).parents[2] / "command-api/src/imc_command_api/log/append.lua"
"""What command-api appends by."""

_NO_LIMIT, _KEEP_MS = 2**31, 60_000
_NO_QUOTA = (0, 0, -1)
_MAY_BEGIN, _NEED_NOT_WRITE = 1, 0
_RECENT_KEY, _NO_SENT_KEY = 8, 0
_VALUES = 7
"""How many values of each event follow."""


class AppLog:
    """The log of one app; ``redis`` is the one that all is in, unless ``masters`` are a cluster."""

    def __init__(self, redis: Redis | None, app_id: str, masters: Masters | None = None) -> None:
        self.redis: Any = redis
        self.masters = masters or Masters(self.redis)
        self.app_id = app_id
        self.shard = names.shard_of(app_id)
        self.epoch = "line"
        self.changes: list[dict[str, Any]] = []
        """What was appended, as query-api remembers it."""
        self._numbers = itertools.count(1)

    async def append(self, *events: Event, publish: bool = True, mark: bytes = b"") -> list[Cursor]:
        """Append events as one batch; ``publish=False`` loses the publishing of it.

        ``mark``: what masks the recalled message, with the time of its sending, if that is what they tell.
        """
        channel = names.live(self.app_id, self.masters.database)
        limits = (_NO_LIMIT, _KEEP_MS, _KEEP_MS, self.app_id, *_NO_QUOTA)
        how = (_MAY_BEGIN, _NEED_NOT_WRITE, names.CHANGES_KEPT, _VALUES)
        arguments: list[Any] = [channel if publish else channel + "-lost", self.epoch, *limits, *how]
        views = [orjson.loads(event.body) for event in events]
        for event, view in zip(events, views, strict=True):
            id_ = view.get("messageId") or view["informationId"]
            arguments += [event.kind.value, event.body, id_, _RECENT_KEY, _NO_SENT_KEY, b"", mark]
        keys = (
            names.log(self.app_id),
            names.log_state(self.app_id),
            names.recalled(self.app_id),
            names.send_quota(self.app_id),
            names.pending(self.shard),
            names.changes(self.shard),
            names.apps(self.shard),
            names.recent(self.shard, 0),
        )
        command = (APPEND.read_text(), len(keys), *keys, *arguments)
        epoch, _, *ids = await self.masters.run(keys[0], lambda redis: cast(Any, redis).eval(*command))
        for entry_id, event, view in zip(ids, events, views, strict=True):
            self.changes.append(
                {"entryId": entry_id.decode(), "kind": event.kind.value.decode(), "view": view}
            )
        return [Cursor(epoch.decode(), EntryId.parse(entry_id)) for entry_id in ids]

    async def trim(self, first: Cursor) -> None:
        """Forget everything before ``first``."""
        await self.redis.xtrim(names.log(self.app_id), minid=str(first.entry), approximate=False)

    async def end(self) -> None:
        """Lose the whole log: what is appended from here on is another one."""
        await self.lose(names.log(self.app_id), names.log_state(self.app_id))
        self.epoch += "2"

    async def lose(self, *keys: str) -> None:
        """Lose keys as a Redis that was emptied does: the changes of the shard are lost with them."""
        await self.redis.delete(*keys, names.changes(self.shard))

    async def members(self, key: str) -> list[bytes]:
        """What a set of the app's shard has of it. The shard may have other apps."""
        first, last = bounds_of(self.app_id)
        return await self.redis.zrangebylex(key, b"(" + first, b"(" + last)

    async def copy(self) -> tuple[bytes, bytes]:
        """The log as it is now, as a replica has it."""
        log, state = names.log(self.app_id), names.log_state(self.app_id)
        return await self.redis.dump(log), await self.redis.dump(state)

    async def fork(self, copy: tuple[bytes, bytes], last: Cursor) -> Cursor:
        """Go on from a copy, whose newest entry is ``last``; returns the entry after that.

        Its id is the next one, and so less than those of what is lost.
        """
        log, state = names.log(self.app_id), names.log_state(self.app_id)
        event, entry = message_sent(self.message()), str(last.entry.following)
        async with self.redis.pipeline() as pipeline:
            for key, value in zip((log, state), copy, strict=True):
                pipeline.restore(key, 0, value, replace=True)
            pipeline.xadd(log, {"k": event.kind.value, "v": event.body}, id=entry)
            pipeline.hset(state, "last", entry)
            pipeline.delete(names.changes(self.shard))
            await pipeline.execute()
        return Cursor(last.epoch, last.entry.following)

    async def change_gateways(self) -> None:
        """Note that the gateways of the app have changed, as a node does that has registered one."""
        await self.redis.xadd(names.changes(self.shard), {GATEWAYS: self.app_id})

    def message(self, content: str | None = None) -> Message:
        """A message that nobody has sent yet; its content is its number if none is given."""
        number = next(self._numbers)
        return {
            "messageId": str(number),
            "appId": self.app_id,
            "groupId": "group",
            "userId": "user",
            "content": str(number) if content is None else content,
            "createTime": 1_700_000_000_000 + number,
            "recallTime": 0,
            "recallCause": None,
            "status": 1,
            "type": None,
        }

    async def send(self, count: int = 1, **options: Any) -> list[Cursor]:
        """Append so many messages, each with its number as its content, as one batch."""
        return await self.append(*(message_sent(self.message()) for _ in range(count)), **options)

    async def recall(self, message: Message, publish: bool = True) -> Cursor:
        """Recall a message of the log."""
        now = message["createTime"] + 1000
        mark = b"%d %b" % (message["createTime"], RecallMark(message["messageId"], now, "cause").encode())
        event = message_recalled(recalled(message, now, "cause"))
        return (await self.append(event, publish=publish, mark=mark))[0]

    async def notices(self) -> list[Cursor]:
        """Publish a notice and delete it."""
        number = next(self._numbers)
        notice: Notice = {
            "informationId": str(number),
            "appId": self.app_id,
            "groupId": "group",
            "userId": "user",
            "title": None,
            "content": str(number),
            "createTime": number,
            "deleteTime": 0,
            "jumpUrl": None,
            "status": 1,
            "type": None,
        }
        return await self.append(notice_published(notice), notice_deleted(deleted(notice, number + 1)))


@pytest.fixture
def app_log(redis: Redis, app_id: str) -> AppLog:
    return AppLog(redis, app_id)


@pytest.fixture
def log_in() -> Callable[[Masters, str], AppLog]:
    """Makes the log of an app in a cluster."""
    return lambda masters, app_id: AppLog(None, app_id, masters)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


Serve = Callable[..., Awaitable[str]]


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncGenerator[str]:
    """An application on a port of its own, by uvicorn with ``options``; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2, **options)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass
class Node:
    """A push-node within the test's process."""

    url: str
    push_node: PushNode

    def gateway(self, app_id: str, gateway_id: str) -> Gateway:
        """What the node knows of a gateway."""
        return self.app(app_id).newest[gateway_id]

    def app(self, app_id: str) -> App:
        """What the node knows of an app."""
        (app,) = [app for app in self.push_node.connections.hub.apps if app.app_id == app_id]
        return app


@contextlib.asynccontextmanager
async def running_node(
    redis_url: str, ping_seconds: float | None = None, **settings: Any
) -> AsyncGenerator[Node]:
    """A push-node with these settings; ``ping_seconds`` between its pings instead of its own figure."""
    # In a thread, since a file that a setting names is read.
    all_settings = await asyncio.to_thread(
        PushNodeSettings.model_validate,
        {"auth": "off", "redis_url": redis_url, "command_api_url": "http://127.0.0.1:9", **settings},
    )
    keepalive = None if ping_seconds is None else Keepalive(ping_seconds, ping_seconds)
    app = create_app(all_settings, keepalive)
    options = server_options(all_settings, app.state.registry, keepalive)
    async with serving(app, **options) as url:
        yield Node(url, app.state.opened.state["push_node"])


StartNode = Callable[..., Awaitable[Node]]


@pytest.fixture
async def start_node(redis_url: str) -> AsyncGenerator[StartNode]:
    """Starts push-nodes of the test's own; its arguments are settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**settings: Any) -> Node:
            return await stack.enter_async_context(
                running_node(settings.pop("redis_url", redis_url), **settings)
            )

        yield start


@pytest.fixture(scope="session")
async def node(redis_url: str) -> AsyncGenerator[Node]:
    """A push-node for all tests, without a command-api: keep to an app of your own."""
    async with running_node(redis_url) as node:
        yield node


@dataclass
class FakeCommandApi:
    """An HTTP server that answers createBatch as the test says."""

    url: str = ""
    calls: list[list[dict[str, Any]]] = field(default_factory=list[list[dict[str, Any]]])
    """The messages of each call, in order."""
    answers: list[Callable[[list[dict[str, Any]]], Response]] = field(default_factory=list[Any])
    """What to answer to the next calls; afterwards every message is accepted."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls wait for it; set unless a test clears it."""


def accept(messages: list[dict[str, Any]]) -> Response:
    receipts = [
        {"messageId": f"{index + 1}", "createTime": 5, "cursor": "line.1-0", "duplicate": False}
        for index, _ in enumerate(messages)
    ]
    return Response(orjson.dumps({"success": True, "code": 0, "message": "success", "data": receipts}))


@pytest.fixture
async def command_api() -> AsyncGenerator[FakeCommandApi]:
    fake = FakeCommandApi()
    fake.gate.set()
    app = FastAPI()

    @app.post("/v1/commands/send-messages")
    async def create_batch(request: Request) -> Response:
        messages = orjson.loads(await request.body())["messages"]
        fake.calls.append(messages)
        await fake.gate.wait()
        return (fake.answers.pop(0) if fake.answers else accept)(messages)

    async with serving(app) as fake.url:
        yield fake


@dataclass
class FakeQueryApi:
    """An HTTP server that remembers everything that was appended to one app's log."""

    app_log: AppLog
    url: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Of each call the two places."""
    status: int = 200
    removed_to: EntryId | None = None
    """Of what entries the rows were removed: up to this one."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Calls wait for it; set unless a test clears it."""

    def answer(self, query: dict[str, str]) -> dict[str, Any]:
        """A page of the changes between the two places."""
        after, before = EntryId.parse(query["after"]), EntryId.parse(query["before"])
        kinds = "srpd" if query["notices"] == "1" else "sr"
        known = self.app_log.changes if query["appId"] == self.app_log.app_id else []
        between = [
            change
            for change in known
            if max(after, self.removed_to or after) < EntryId.parse(change["entryId"]) < before
            and change["kind"] in kinds
        ]
        limit = int(query["limit"])
        page: dict[str, Any] = {"changes": between[:limit], "isLast": len(between) < limit}
        return page if self.removed_to is None else {**page, "removedTo": str(self.removed_to)}


@pytest.fixture
async def query_api(app_log: AppLog) -> AsyncGenerator[FakeQueryApi]:
    fake = FakeQueryApi(app_log)
    fake.gate.set()
    app = FastAPI()

    @app.get(PATH)
    async def changes(request: Request) -> Response:
        query = dict(request.query_params)
        fake.calls.append((query["after"], query["before"]))
        await fake.gate.wait()
        data = fake.answer(query)
        body = {"success": True, "code": 0, "message": "success", "data": data}
        return Response(orjson.dumps(body), fake.status)

    async with serving(app) as fake.url:
        yield fake
