"""Tests that changes between two log ids equal the entries of the log."""

import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import ORIGIN, EntryId
from imc_contracts.errors import Refused
from imc_contracts.log_changes import PATH
from imc_contracts.schema import (
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)
from imc_contracts.views import Message, Notice
from imc_query_api.bootstrap import open_query_api
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.store import Store
from imc_query_api.settings import QueryApiSettings
from imc_service.database.database import Database, Session, open_database
from imc_service.health import Readiness
from imc_service.settings import load
from imc_testkit.tokens import OFF
from prometheus_client import CollectorRegistry

END = EntryId(9_999_999_999_999, 0)
COLUMNS = {MESSAGES: MESSAGE_VIEW_COLUMNS, NOTICES: NOTICE_VIEW_COLUMNS}
FIELDS = {MESSAGES: tuple(Message.__annotations__), NOTICES: tuple(Notice.__annotations__)}


@dataclass
class Model:
    """A model of a log: its entries, and the rows that they make."""

    app_id: str
    changes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {MESSAGES: [], NOTICES: []})

    def add(self, table: str, number: int, made: EntryId | None, retired: EntryId | None) -> None:
        """Add a message or notice, created and perhaps retired at these log ids; None if it has none."""
        row = {
            **{MESSAGES: {"message_id": number}, NOTICES: {"information_id": number}}[table],
            "app_id": self.app_id,
            "group_id": f"group {number % 3}",
            "user_id": "user",
            "title": None if number % 2 else "标题",
            "content": "" if retired and table == MESSAGES else f'{number} "\\\n\0🙂',
            "create_time": 5000 + number % 7,
            "recall_time": 9000 if retired else 0,
            "recall_cause": "cause" if retired else None,
            "delete_time": 9000 if retired else 0,
            "jump_url": None,
            "status": 0 if retired else 1,
            "type": number % 5,
        }
        newest = retired or made
        places = (made.column if made else None, newest.column if newest else None)
        self.rows[table].append((*(row[column] for column in COLUMNS[table]), *places))
        values = [str(number), *(row[column] for column in COLUMNS[table][1:])]
        view = dict(zip(FIELDS[table], values, strict=True))
        sent, ended = ("s", "r") if table == MESSAGES else ("p", "d")
        if made:
            shown = view if table == MESSAGES else {**view, "deleteTime": 0, "status": 1}
            self.changes.append({"entryId": str(made), "kind": sent, "view": shown})
        if retired:
            self.changes.append({"entryId": str(retired), "kind": ended, "view": view})

    async def store(self, database: Database) -> None:
        """Insert the rows."""
        self.changes.sort(key=sort_key_of)
        async with database.transaction() as session:
            for table, rows in self.rows.items():
                columns = (*COLUMNS[table], *LOG_COLUMNS)
                await session.execute_many(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                    rows,
                )

    def between(self, after: EntryId, before: EntryId, *, notices: bool) -> list[dict[str, Any]]:
        """The entries of the log between two log ids."""
        return [
            change
            for change in self.changes
            if after < sort_key_of(change) < before and (notices or change["kind"] in "sr")
        ]


def sort_key_of(change: dict[str, Any]) -> EntryId:
    return EntryId.parse(change["entryId"])


def new_id() -> int:
    """The first of some thousand ids that no other test on the same database uses."""
    return random.SystemRandom().getrandbits(61)


def model_of(app_id: str, count: int) -> Model:
    """Messages and notices in mixed order, a quarter of them retired later."""
    places = [EntryId(1_700_000_000_000 + index // 4, index % 4) for index in range(2 * count)]
    model = Model(app_id)
    chance, first = random.Random(count), new_id()
    free = list(range(len(places)))
    for number in range(count):
        made = free.pop(0)
        retired = None
        if chance.random() < 0.25:
            retired = free.pop(min(len(free) - 1, chance.choice((0, 3, 40, 400))))
        table = NOTICES if chance.random() < 0.2 else MESSAGES
        model.add(table, first + number, places[made], None if retired is None else places[retired])
    return model


@pytest.fixture
async def model(database: Database, app_id: str) -> Model:
    await model_of(app_id.upper(), 50).store(database)
    model = model_of(app_id, 600)
    # Rows of the Java version: one was recalled later, the other has no log ids.
    model.add(MESSAGES, new_id(), None, EntryId(1_700_000_000_050, 9))
    model.add(MESSAGES, new_id(), None, None)
    await model.store(database)
    return model


async def ask(client: httpx.AsyncClient, app_id: str, **parameters: Any) -> list[dict[str, Any]]:
    reply = await client.get(PATH, params={"appId": app_id, **parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


@pytest.mark.parametrize("limit", [1, 7, 250, 500])
@pytest.mark.parametrize("notices", [False, True])
async def test_pages_concatenate_to_the_log(
    client: httpx.AsyncClient, model: Model, app_id: str, limit: int, notices: bool
) -> None:
    found: list[dict[str, Any]] = []
    after = EntryId(1_700_000_000_010, 1)
    before = EntryId(1_700_000_000_080 if limit == 1 else 1_700_000_000_250, 0)
    expected = model.between(after, before, notices=notices)
    assert {change["kind"] for change in expected} == set("srpd" if notices else "sr")
    while True:
        page = await ask(
            client, app_id, after=str(after), before=str(before), limit=limit, notices=int(notices)
        )
        found += page
        if len(page) < limit:
            break
        after = sort_key_of(page[-1])
    assert found == expected


async def test_changes_are_found_between_any_two_log_ids(
    client: httpx.AsyncClient, model: Model, app_id: str
) -> None:
    chance = random.Random(3)
    places = [ORIGIN, END, *(sort_key_of(change) for change in model.changes)]
    places += [place.following for place in places] + [place.preceding for place in places[1:]]
    for _ in range(60):
        after, before = chance.choice(places), chance.choice(places)
        found = await ask(client, app_id, after=str(after), before=str(before), notices=1)
        assert found == model.between(after, before, notices=True)[:500]


async def test_a_message_recalled_after_the_range_has_no_content(
    client: httpx.AsyncClient, model: Model, app_id: str
) -> None:
    recall = next(change for change in reversed(model.changes) if change["kind"] == "r")
    sent = next(c for c in model.changes if c["kind"] == "s" and c["view"] == recall["view"])
    shown, *_ = await ask(
        client, app_id, after=str(sort_key_of(sent).preceding), before=str(sort_key_of(sent).following)
    )
    assert sort_key_of(recall) > sort_key_of(shown) == sort_key_of(sent)
    assert (shown["kind"], shown["view"]["content"], shown["view"]["status"]) == ("s", "", 0)


@pytest.mark.parametrize("name", ["after", "before", "limit", "appId", "notices"])
async def test_a_malformed_parameter_is_refused(client: httpx.AsyncClient, app_id: str, name: str) -> None:
    parameters = {"appId": app_id, "after": "0-0", "before": "1-0", name: "\t"}
    reply = await client.get(PATH, params=parameters)
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert reply.json()["message"].startswith(f"{name} is not valid")


async def test_changes_are_not_read_from_a_replica(app_id: str, shared_sqlite_url: str) -> None:
    settings = load(QueryApiSettings, {**OFF, "IMC_READ_DATABASE_URL": shared_sqlite_url})
    async with open_query_api(settings, Readiness(), CollectorRegistry()) as query_api:
        with pytest.raises(Refused) as refused:
            await query_api.log_changes.page(app_id, ORIGIN, END, 1, with_notices=False)
    assert refused.value.code is ErrorCode.UNAVAILABLE


class TestPlans:
    """Tests the plans of the statements in MariaDB."""

    @pytest.fixture
    async def mariadb(self, database_url: str) -> AsyncGenerator[Database]:
        async with open_database(database_url, size=1) as database:
            yield database

    @pytest.fixture
    async def session(self, mariadb: Database, app_id: str) -> AsyncGenerator[Session]:
        # Nearly all rows belong to this app. Whether few or many of them are in the range, MariaDB must not
        # read others.
        await model_of(app_id, 5000).store(mariadb)
        async with mariadb.session() as session:
            await session.execute(f"ANALYZE TABLE {MESSAGES}, {NOTICES}")
            yield session

    @pytest.mark.parametrize(
        ("after", "before"), [(0, 9_999_999_999_999), (1_700_000_002_400, 1_700_000_002_410), (5, 6)]
    )
    async def test_nothing_is_sorted_or_read_beyond_the_page(
        self, mariadb: Database, session: Session, app_id: str, after: int, before: int
    ) -> None:
        changes = LogChanges(Store(mariadb, CollectorRegistry()))
        bounds = (EntryId(after, 0).column, EntryId(before, 0).column)
        for source in changes.sources:
            values = (app_id, *bounds, 50)
            plan = await session.fetch_all(f"EXPLAIN {source.sql}", values)
            kinds = {str(step[2]): (step[3], step[9]) for step in plan}
            assert len(plan) == 3, plan
            for table, (kind, extra) in kinds.items():
                assert "filesort" not in extra, plan
                assert "temporary" not in extra, plan
                assert kind in ("range", "ref", "eq_ref") or table.startswith("<derived"), plan
            before_count = await rows_touched(session)
            found = await session.fetch_all(source.sql, values)
            # Each row of the page counts three times: in the index, in the page, and by its key.
            assert await rows_touched(session) - before_count <= 3 * len(found) + 20
            assert found or after, "a query that finds nothing proves nothing"


async def rows_touched(session: Session) -> int:
    counters = await session.fetch_all("SHOW SESSION STATUS LIKE 'Handler_read%'")
    return sum(int(value) for _, value in counters)
