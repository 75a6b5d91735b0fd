"""What the tests of the store and the projector share: histories, tables as they are, a log of their own."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from imc_command_api.handlers.ports import Appended, Write
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.migrations import migrate
from imc_command_api.projector.bootstrap import open_projector
from imc_command_api.projector.logs import Logs, Retention
from imc_command_api.projector.settings import ProjectorSettings
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_command_api.store.projection import PlacedEntry
from imc_contracts import events, names, schema, views
from imc_contracts.cursor import EntryId
from imc_contracts.events import Event
from imc_contracts.policies import Policies
from imc_contracts.views import Message, Notice
from imc_service.database.database import Database, open_database
from imc_service.health import Readiness
from imc_service.redis.masters import Masters
from imc_testkit.databases import new_database
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

_IDS = itertools.count(time.time_ns() // 1_000)
_CREATED = 1_790_000_000_000


@dataclass
class History:
    """Things that happen in one app, one after the other, each at its place in a log."""

    app_id: str
    places: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def message(self, group_id: str = "g", **fields: Any) -> Message:
        message: Message = {
            "messageId": str(next(_IDS)),
            "appId": self.app_id,
            "groupId": group_id,
            "userId": "u",
            "content": "hello",
            "createTime": _CREATED,
            "recallTime": 0,
            "recallCause": None,
            "status": 1,
            "type": None,
        }
        return message | fields  # pyright: ignore[reportReturnType]

    def notice(self, group_id: str = "g", **fields: Any) -> Notice:
        notice: Notice = {
            "informationId": str(next(_IDS)),
            "appId": self.app_id,
            "groupId": group_id,
            "userId": "u",
            "title": "title",
            "content": "hear, hear",
            "createTime": _CREATED,
            "deleteTime": 0,
            "jumpUrl": "app://somewhere",
            "status": 1,
            "type": 7,
        }
        return notice | fields  # pyright: ignore[reportReturnType]

    def sent(self, message: Message) -> PlacedEntry:
        return self.place(events.message_sent(message))

    def recalled(self, message: Message, at: int = _CREATED + 1, cause: str | None = None) -> PlacedEntry:
        return self.place(events.message_recalled(views.recalled(message, at, cause)))

    def published(self, notice: Notice) -> PlacedEntry:
        return self.place(events.notice_published(notice))

    def deleted(self, notice: Notice, at: int = _CREATED + 1) -> PlacedEntry:
        return self.place(events.notice_deleted(views.deleted(notice, at)))

    def place(self, event: Event) -> PlacedEntry:
        return PlacedEntry(self.app_id, event.at(EntryId(_CREATED, next(self.places))))


@pytest.fixture(scope="session")
def history_of() -> type[History]:
    return History


@pytest.fixture
def history(app_id: str) -> History:
    return History(app_id)


@dataclass
class Tables:
    """The tables as they are."""

    database: Database

    async def messages(self, app_id: str) -> list[dict[str, Any]]:
        return await self._rows(schema.MESSAGES, (*schema.MESSAGE_VIEW_COLUMNS, *schema.LOG_COLUMNS), app_id)

    async def notices(self, app_id: str) -> list[dict[str, Any]]:
        return await self._rows(schema.NOTICES, (*schema.NOTICE_VIEW_COLUMNS, *schema.LOG_COLUMNS), app_id)

    async def groups(self, app_id: str) -> dict[str, tuple[int, int, int]]:
        """By group: the count, the newest message, its time."""
        rows = await self._rows(schema.GROUPS, schema.GROUP_COLUMNS, app_id)
        return {
            row["group_id"]: (row["message_total"], row["newest_message_id"], row["newest_create_time"])
            for row in rows
        }

    async def position(self, app_id: str) -> tuple[str, str] | None:
        """The epoch and the log id up to which the app is projected."""
        rows = await self._rows(schema.PROJECTIONS, schema.PROJECTION_COLUMNS, app_id)
        return (rows[0]["epoch"], rows[0]["position"]) if rows else None

    async def count(self, app_id: str) -> int:
        """The messages of an app."""
        sql = f"SELECT COUNT(*) FROM {schema.MESSAGES} WHERE app_id = ?"
        return (await self.database.fetch_all(sql, (app_id,)))[0][0]

    async def _rows(self, table: str, columns: Sequence[str], app_id: str) -> list[dict[str, Any]]:
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE app_id = ? ORDER BY {columns[0]}"
        rows = await self.database.fetch_all(sql, (app_id,))
        return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture(params=["database_url", "sqlite_url"], ids=["mariadb", "sqlite"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Each database that the store must work on."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
async def new_schema(database_server_url: str) -> AsyncGenerator[str]:
    """A migrated MariaDB database for one file of tests."""
    async with new_database(database_server_url) as url:
        await asyncio.to_thread(migrate, url)
        yield url


@pytest.fixture
async def database(store_url: str) -> AsyncGenerator[Database]:
    async with open_database(store_url) as database:
        yield database


@pytest.fixture
async def mariadb(database_url: str) -> AsyncGenerator[Database]:
    async with open_database(database_url) as database:
        yield database


@pytest.fixture(scope="session")
def tables_of() -> type[Tables]:
    return Tables


@pytest.fixture
def tables(database: Database) -> Tables:
    return Tables(database)


def append_script(redis: Redis) -> AppendScript:
    quota = SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
    return AppendScript(Masters(redis), Limits(10**9, lambda: 60_000, 60_000), quota)


@dataclass
class Feed:
    """A log, written as command-api does."""

    redis: Redis
    app_id: str

    async def append(self, entries: Sequence[PlacedEntry]) -> list[bytes]:
        """The ids that the log gave them."""
        script = append_script(self.redis)
        writes = [Write(Event(each.entry.kind, each.entry.body), next(_IDS)) for each in entries]
        ids: list[bytes] = []
        for first in range(0, len(writes), 500):
            for outcome in await script.run(self.app_id, writes[first : first + 500]):
                assert isinstance(outcome, Appended)
                ids.append(str(outcome.cursor.entry).encode())
        return ids

    async def xadd(self, fields: dict[Any, Any]) -> bytes:
        """An entry made by hand."""
        entry_id = cast(bytes, await self.redis.xadd(names.log(self.app_id), fields))
        pending = names.pending(names.shard_of(self.app_id))
        await self.redis.zadd(pending, {self.app_id: int(entry_id.split(b"-")[0])}, nx=True)
        return entry_id

    async def waiting(self) -> int:
        """How many entries the database lacks, as the log counts them."""
        return int(await self.redis.hget(names.log_state(self.app_id), "waiting") or 0)  # pyright: ignore

    async def position(self) -> bytes:
        """The entry up to which the database has all."""
        return (await self.redis.hget(names.log_state(self.app_id), "projected")) or b"0-0"  # pyright: ignore

    async def is_projected(self) -> bool:
        last: Any = await self.redis.xrevrange(names.log(self.app_id), count=1)
        return bool(last) and await self.position() == last[0][0]

    async def projected(self) -> None:
        """Wait until the database has everything."""
        await wait_until(self.is_projected, 20)
        assert await self.waiting() == 0
        assert await self.redis.zscore(names.pending(names.shard_of(self.app_id)), self.app_id) is None

    async def dead_letters(self) -> list[dict[bytes, bytes]]:
        letters: Any = await self.redis.xrange(names.dead_letters(self.app_id))
        return [fields for _, fields in letters]


@pytest.fixture(scope="session")
async def log_server() -> AsyncGenerator[PrivateRedis]:
    """A Redis for the projectors of the tests alone: they read the logs of all apps there are."""
    async with private_redis() as server:
        yield server


@pytest.fixture
async def log_redis(log_server: PrivateRedis) -> AsyncGenerator[Redis]:
    async with Redis.from_url(log_server.url) as redis:
        await redis.flushall()
        yield redis


@pytest.fixture
def feed(log_redis: Redis, app_id: str) -> Feed:
    return Feed(log_redis, app_id)


@pytest.fixture(scope="session")
def feed_of() -> type[Feed]:
    return Feed


PROJECTOR = "tester"
HOUR_MS = 3_600_000


@pytest.fixture
def logs_of(log_redis: Redis) -> Callable[..., Logs]:
    """The logs as a projector named `PROJECTOR` has them; takes what is unusual of its retention."""

    def logs_of(*, keep_ms: int = HOUR_MS, keep_entries: int = 10**6, keep_app_ms: int = HOUR_MS) -> Logs:
        return Logs(Masters(log_redis), PROJECTOR, Retention(keep_ms, keep_entries, keep_app_ms))

    return logs_of


@pytest.fixture
async def logs(log_redis: Redis, logs_of: Callable[..., Logs]) -> Logs:
    await log_redis.mset({names.owner(shard): PROJECTOR for shard in range(names.SHARDS)})
    return logs_of()


@pytest.fixture(scope="session")
def owned_by() -> Callable[[Redis], Any]:
    """By projector: how many shards it owns."""

    async def owned_by(redis: Redis) -> dict[str, int]:
        owners: Any = await redis.mget([names.owner(shard) for shard in range(names.SHARDS)])
        return Counter(owner.decode() for owner in owners if owner)

    return owned_by


def dead_letters(registry: CollectorRegistry, reason: str | None = None) -> int:
    """How many entries a projector has dead-lettered by its own count, for one kind of reason or for all."""
    return sum(
        int(sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "imc_projector_dead_letters_total" and reason in (None, sample.labels["reason"])
    )


@pytest.fixture(scope="session")
def dead_letter_count() -> Callable[..., int]:
    return dead_letters


Projecting = Callable[..., AbstractAsyncContextManager[CollectorRegistry]]


@pytest.fixture(scope="session")
def projecting(log_server: PrivateRedis, database_url: str) -> Projecting:
    """Runs a projector within this process; yields its metrics. Takes settings by name."""

    @asynccontextmanager
    async def projecting(**settings: Any) -> AsyncGenerator[CollectorRegistry]:
        given = {"redis_url": log_server.url, "database_url": database_url, **settings}
        registry = CollectorRegistry()
        async with open_projector(ProjectorSettings.model_validate(given), Readiness(), registry, Policies()):
            yield registry

    return projecting
