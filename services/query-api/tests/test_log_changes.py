"""Tests that changes between two log ids equal the entries of the log."""

import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from imc_contracts.cursor import ORIGIN, EntryId
from imc_contracts.events import EventKind
from imc_contracts.log_changes import PATH
from imc_contracts.schema import (
    ERASURE_COLUMNS,
    ERASURES,
    LOG_COLUMNS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)
from imc_contracts.views import Erasure, Message, Notice
from imc_query_api.queries.listing import BATCH_BYTES
from imc_query_api.queries.log_changes import LogChanges
from imc_query_api.queries.store import Store
from imc_service.database.database import Database, Session, open_database

END = EntryId(9_999_999_999_999, 0)
COLUMNS = {MESSAGES: MESSAGE_VIEW_COLUMNS, NOTICES: NOTICE_VIEW_COLUMNS}
FIELDS = {MESSAGES: tuple(Message.__annotations__), NOTICES: tuple(Notice.__annotations__)}


@dataclass
class Model:
    """A model of a log: its entries, and the rows that they make."""

    app_id: str
    changes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    erasures: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: {MESSAGES: [], NOTICES: []})

    def add(
        self,
        table: str,
        number: int,
        made: EntryId | None,
        retired: EntryId | None,
        content: str | None = None,
    ) -> None:
        """Add a message or notice, created and perhaps retired at these log ids; None if it has none."""
        row = {
            **{MESSAGES: {"message_id": number}, NOTICES: {"information_id": number}}[table],
            "app_id": self.app_id,
            "group_id": f"group {number % 3}",
            "user_id": "user",
            "title": None if number % 2 else "标题",
            "content": "" if retired and table == MESSAGES else content or f'{number} "\\\n\0🙂',
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

    def erase(self, number: int, at: EntryId) -> None:
        """Add an erasure, of a user, of a group or of the app."""
        user, group = (("user", None), (None, "group"), (None, None))[number % 3]
        self.erasures.append((number, self.app_id, user, group, 7000, at.column))
        values = (str(number), self.app_id, user, group, 7000)
        view = dict(zip(Erasure.__annotations__, values, strict=True))
        self.changes.append({"entryId": str(at), "kind": "e", "view": view})

    async def store(self, database: Database) -> None:
        """Insert the rows."""
        self.changes.sort(key=sort_key_of)
        async with database.transaction() as session:
            marks = ", ".join("?" * len(ERASURE_COLUMNS))
            into = f"INSERT INTO {ERASURES} ({', '.join(ERASURE_COLUMNS)}) VALUES ({marks})"
            if self.erasures:
                await session.execute_many(into, self.erasures)
            for table, rows in self.rows.items():
                columns = (*COLUMNS[table], *LOG_COLUMNS)
                await session.execute_many(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                    rows,
                )

    def between(
        self, after: EntryId, before: EntryId, *, notices: bool, erasures: bool = True
    ) -> list[dict[str, Any]]:
        """The entries of the log between two log ids."""
        kinds = "sr" + "pd" * notices + "e" * erasures
        return [
            change
            for change in self.changes
            if after < sort_key_of(change) < before and change["kind"] in kinds
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
    for number in range(count // 20):
        model.erase(first + number, EntryId(1_700_000_000_000 + 10 * number, 5))
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


async def ask(client: httpx.AsyncClient, app_id: str, **parameters: Any) -> dict[str, Any]:
    reply = await client.get(PATH, params={"appId": app_id, **parameters})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


@pytest.mark.parametrize("limit", [1, 7, 250, 500])
@pytest.mark.parametrize(("notices", "erasures"), [(False, True), (True, True), (True, False)])
async def test_pages_concatenate_to_the_log(
    client: httpx.AsyncClient, model: Model, app_id: str, limit: int, notices: bool, erasures: bool
) -> None:
    found: list[dict[str, Any]] = []
    after = EntryId(1_700_000_000_010, 1)
    before = EntryId(1_700_000_000_080 if limit == 1 else 1_700_000_000_250, 0)
    expected = model.between(after, before, notices=notices, erasures=erasures)
    assert {change["kind"] for change in expected} == set("sr" + "pd" * notices + "e" * erasures)
    while True:
        wanted = {"notices": int(notices), "erasures": int(erasures)}
        page = await ask(client, app_id, after=str(after), before=str(before), limit=limit, **wanted)
        found += page["changes"]
        if page["isLast"]:
            break
        after = sort_key_of(page["changes"][-1])
    assert found == expected


async def test_changes_are_found_between_any_two_log_ids(
    client: httpx.AsyncClient, model: Model, app_id: str
) -> None:
    chance = random.Random(3)
    places = [ORIGIN, END, *(sort_key_of(change) for change in model.changes)]
    places += [place.following for place in places] + [place.preceding for place in places[1:]]
    for _ in range(60):
        after, before = chance.choice(places), chance.choice(places)
        found = await ask(client, app_id, after=str(after), before=str(before), notices=1, erasures=1)
        expected = model.between(after, before, notices=True)
        assert found == {"changes": expected[:500], "isLast": len(expected) < 500}


async def test_a_message_recalled_after_the_range_has_no_content(
    client: httpx.AsyncClient, model: Model, app_id: str
) -> None:
    recall = next(change for change in reversed(model.changes) if change["kind"] == "r")
    sent = next(c for c in model.changes if c["kind"] == "s" and c["view"] == recall["view"])
    page = await ask(
        client, app_id, after=str(sort_key_of(sent).preceding), before=str(sort_key_of(sent).following)
    )
    (shown,) = page["changes"]
    assert sort_key_of(recall) > sort_key_of(shown) == sort_key_of(sent)
    assert (shown["kind"], shown["view"]["content"], shown["view"]["status"]) == ("s", "", 0)


@pytest.mark.parametrize("name", ["after", "before", "limit", "appId", "notices"])
async def test_a_malformed_parameter_is_refused(client: httpx.AsyncClient, app_id: str, name: str) -> None:
    parameters = {"appId": app_id, "after": "0-0", "before": "1-0", name: "\t"}
    reply = await client.get(PATH, params=parameters)
    assert (reply.status_code, reply.json()["code"]) == (400, 40001)
    assert reply.json()["message"].startswith(f"{name} is not valid")


async def test_a_page_of_long_contents_ends_early(
    client: httpx.AsyncClient, database: Database, app_id: str
) -> None:
    model, first = Model(app_id), new_id()
    content = "é" * 32_000
    for number in range(150):
        model.add(MESSAGES, first + number, EntryId(1_700_000_000_000, number), None, content)
    await model.store(database)
    sizes: list[int] = []
    found, after = [], ORIGIN
    while True:
        page = await ask(client, app_id, after=str(after), before=str(END))
        sizes.append(sum(len(change["view"]["content"].encode()) for change in page["changes"]))
        found += page["changes"]
        if page["isLast"]:
            break
        after = sort_key_of(page["changes"][-1])
    assert found == model.changes
    assert len(sizes) == 3
    assert max(sizes) <= BATCH_BYTES < 2 * min(sizes[:-1])


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
            await session.execute(f"ANALYZE TABLE {MESSAGES}, {NOTICES}, {ERASURES}")
            yield session

    @pytest.mark.parametrize(
        ("after", "before"), [(0, 9_999_999_999_999), (1_700_000_002_400, 1_700_000_002_410), (5, 6)]
    )
    async def test_nothing_is_sorted_or_read_beyond_the_page(
        self, mariadb: Database, session: Session, app_id: str, after: int, before: int
    ) -> None:
        changes = LogChanges(Store(mariadb))
        bounds = (EntryId(after, 0).column, EntryId(before, 0).column)
        for source in changes.sources:
            values = (app_id, *bounds, 50)
            plan = await session.fetch_all(f"EXPLAIN {source.sql}", values)
            kinds = {str(step[2]): (step[3], step[9]) for step in plan}
            # The content of an erasure is not looked at.
            assert len(plan) == (2 if source.kind is EventKind.ERASURE else 3), plan
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


async def test_a_page_says_how_far_rows_were_removed(
    client: httpx.AsyncClient, database: Database, model: Model, app_id: str
) -> None:
    everything = {"after": str(ORIGIN), "before": str(END)}
    assert "removedTo" not in await ask(client, app_id, **everything)
    entry = EntryId(1_700_000_000_020, 3)
    async with database.transaction() as session:
        for app, removed_to in ((app_id, entry.column), (app_id.upper(), None)):
            await session.execute(
                "INSERT INTO imc_projection (app_id, epoch, position, removed_to) VALUES (?, 'e', ?, ?)",
                (app, entry.column, removed_to),
            )
    assert (await ask(client, app_id, **everything))["removedTo"] == str(entry)
    assert "removedTo" not in await ask(client, app_id.upper(), **everything)
