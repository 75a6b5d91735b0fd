"""What is erased is gone from rows, log, dead letters and marks; everything else is there."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from imc_command_api.erasure import eraser as eraser_module
from imc_command_api.erasure import streams as streams_module
from imc_command_api.erasure.eraser import Eraser
from imc_command_api.erasure.metrics import ErasureMetrics
from imc_command_api.erasure.streams import StreamEraser
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.stretch import Stretch, understand
from imc_command_api.projector.writer import LATE_SECONDS, StretchWriter
from imc_command_api.store.erasures import Erasures, Stage
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_command_api.store.removal import Removal
from imc_contracts import events, names, schema
from imc_contracts.cursor import EntryId
from imc_contracts.events import ERASED_FIELDS, RecallMark
from imc_service.database.database import Database
from imc_service.redis.masters import Masters
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

SECRET = "secret-words-of-ann"
ALL_SHARDS = frozenset(range(names.SHARDS))
_IDS = itertools.count(time.time_ns())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eraser_module, "REMAINS_SECONDS", 0.0)


def erasure_of(history: Any, **subject: str) -> PlacedEntry:
    view = {"userId": None, "groupId": None, **subject}
    erasure_id = next(_IDS)
    return history.place(
        events.erasure(
            {"erasureId": str(erasure_id), "appId": history.app_id, "eraseTime": 1, **view}  # pyright: ignore
        )
    )


def entries_of(history: Any, count: int = 3) -> list[PlacedEntry]:
    """Messages and notices of ann and bob, in two groups. What ann writes holds `SECRET`."""
    entries: list[PlacedEntry] = []
    for number in range(count):
        for user, words in (("ann", f"{SECRET} {number}"), ("bob", f"words of bob {number}")):
            for group in ("g", "h"):
                mine = {"userId": user, "content": words}
                entries.append(history.sent(history.message(group, **mine)))
                if number == 0:
                    entries.append(history.published(history.notice(group, title=words, **mine)))
    return entries


async def reports(database: Database, app_id: str) -> list[dict[str, Any]]:
    columns = (*schema.ERASURE_COLUMNS, *schema.ERASURE_PROGRESS_COLUMNS)
    sql = f"SELECT {', '.join(columns)} FROM {schema.ERASURES} WHERE app_id = ? ORDER BY log_id"
    rows = await database.fetch_all(sql, (app_id,))
    return [dict(zip(columns, row, strict=True)) for row in rows]


async def all_done(database: Database, app_id: str, count: int = 1) -> list[dict[str, Any]]:
    async def are_done() -> bool:
        found = await reports(database, app_id)
        return len(found) == count and all(each["finish_time"] for each in found)

    await wait_until(are_done, 60)
    return await reports(database, app_id)


async def dumped(redis: Redis, key: str) -> bytes:
    """What a file of Redis holds of a key, deleted entries included."""
    await redis.config_set("rdbcompression", "no")
    return await redis.dump(key) or b""  # pyright: ignore


def users_of(rows: Sequence[dict[str, Any]]) -> set[str]:
    return {row["user_id"] for row in rows}


@pytest.fixture
def eraser_of(log_redis: Redis, mariadb: Database) -> Callable[[], Eraser]:
    """An eraser of its own, as another owner of the shard would have it."""
    erasures = Erasures(mariadb, Removal(mariadb))
    streams = StreamEraser(Masters(log_redis))
    return lambda: Eraser(erasures, streams, ErasureMetrics(CollectorRegistry()))


async def test_what_a_user_wrote_is_gone_and_all_else_is_there(
    projecting: Any, feed: Any, history: Any, mariadb: Any, tables_of: Any, log_redis: Redis
):
    tables, app_id = tables_of(mariadb), history.app_id
    # Marks that are older than the log are removed by its upkeep.
    message = history.message("g", userId="ann", content=SECRET, createTime=time.time_ns() // 1_000_000)
    cause = {"recallCause": f"{SECRET} again", "recallTime": 7}
    mark = RecallMark(message["messageId"], 7, cause["recallCause"])  # pyright: ignore
    await log_redis.zadd(names.recalled(app_id), {mark.encode(): message["createTime"]})
    async with projecting():
        before = [
            history.sent(message),
            history.recalled(message, 7, cause["recallCause"]),
            *entries_of(history),
        ]
        before_ids = await feed.append(before)
        (own_id,) = await feed.append([erasure_of(history, userId="ann")])
        later_ids = await feed.append(
            [history.sent(history.message("g", userId="ann", content="back again"))]
        )
        [report] = await all_done(mariadb, app_id)
    assert (report["user_id"], report["group_id"], report["stage"]) == ("ann", None, Stage.DONE)
    assert (report["messages"], report["notices"], report["log_entries"]) == (7, 2, 10)
    assert report["log_id"] == EntryId.parse(own_id).column
    rows = await tables.messages(app_id)
    assert [row["content"] for row in rows if row["user_id"] == "ann"] == ["back again"]
    assert sum(row["user_id"] == "bob" for row in rows) == 6
    assert users_of(await tables.notices(app_id)) == {"bob"}
    groups = await tables.groups(app_id)
    assert {group: total for group, (total, *_) in groups.items()} == {"g": 4, "h": 3}
    newest = {
        group: max((r["create_time"], r["message_id"]) for r in rows if r["group_id"] == group)
        for group in groups
    }
    assert {group: (time_, id_) for group, (_, id_, time_) in groups.items()} == newest
    log: Any = await log_redis.xrange(names.log(app_id))
    assert [entry_id for entry_id, _ in log] == [*before_ids, own_id, *later_ids]
    for (_, fields), placed in zip(log, before, strict=False):
        is_hers = b'"userId":"ann"' in placed.entry.body
        assert fields == (ERASED_FIELDS if is_hers else {b"k": placed.entry.kind, b"v": placed.entry.body})
    marks: Any = await log_redis.zrange(names.recalled(app_id), 0, -1)
    assert [RecallMark.read(each) for each in marks] == [RecallMark(message["messageId"], 7, None)]
    assert SECRET.encode() not in await dumped(log_redis, names.log(app_id))
    assert b"words of bob" in await dumped(log_redis, names.log(app_id))
    assert await log_redis.exists(names.log_copy(app_id, report["erasure_id"])) == 0
    assert await log_redis.ttl(names.log(app_id)) == -1


@pytest.mark.parametrize(("subject", "left"), [({"groupId": "g"}, {"h"}), ({}, set[str]())])
async def test_a_group_and_an_app(
    projecting: Any,
    feed: Any,
    history: Any,
    mariadb: Any,
    tables_of: Any,
    log_redis: Redis,
    history_of: Any,
    feed_of: Any,
    subject: dict[str, str],
    left: set[str],
):
    tables, app_id = tables_of(mariadb), history.app_id
    other = history_of(f"{app_id}-other")
    async with projecting():
        await feed.append(entries_of(history))
        await feed_of(log_redis, other.app_id).append(entries_of(other))
        await feed.append([erasure_of(history, **subject)])
        [report] = await all_done(mariadb, app_id)
    assert (report["messages"], report["notices"]) == ((6, 2) if subject else (12, 4))
    for rows in (await tables.messages(app_id), await tables.notices(app_id)):
        assert {row["group_id"] for row in rows} == left
    assert (await tables.groups(app_id)).keys() == left
    assert await tables.count(other.app_id) == 12
    assert SECRET.encode() in await dumped(log_redis, names.log(other.app_id))
    log: Any = await log_redis.xrange(names.log(app_id))
    assert {fields[b"k"] for _, fields in log} == ({b"x", b"s", b"p", b"e"} if left else {b"x", b"e"})
    assert (await log_redis.hget(names.log_state(app_id), "last")) == log[-1][0]  # pyright: ignore


async def test_rows_without_a_log_id_are_erased_too(
    projecting: Any, feed: Any, history: Any, mariadb: Any, tables_of: Any
):
    """As adoption makes them."""
    async with mariadb.session() as session:
        sql = (
            f"INSERT INTO {schema.MESSAGES} (message_id, app_id, group_id, user_id, content, create_time) "
            "VALUES (?, ?, 'g', ?, 'old', 5)"
        )
        await session.execute_many(sql, [(1, history.app_id, "ann"), (2, history.app_id, "bob")])
    async with projecting():
        await feed.append([erasure_of(history, userId="ann")])
        await all_done(mariadb, history.app_id)
    assert users_of(await tables_of(mariadb).messages(history.app_id)) == {"bob"}


async def test_dead_letters_are_erased_and_leave_no_bytes(
    projecting: Any, feed: Any, history: Any, mariadb: Any, log_redis: Redis
):
    key = names.dead_letters(history.app_id)
    letters = (
        ("1-1", history.message("g", userId="ann", content=SECRET)),
        ("1-2", history.message("g", userId="bob", content="words of bob")),
    )
    for entry_id, message in letters:
        event = events.message_sent(message)
        await log_redis.xadd(key, {"k": event.kind, "v": event.body, "id": entry_id, "reason": "why"})
    await log_redis.xadd(key, {"k": "s", "v": f'broken "ann" {SECRET}', "id": "1-3"})
    gone = await log_redis.xadd(key, {"k": "s", "v": f"{SECRET} dropped by an operator", "id": "1-4"})
    await log_redis.xdel(key, gone)
    assert SECRET.encode() in await dumped(log_redis, key)
    before: Any = await log_redis.xrange(key)
    ids = [entry_id for entry_id, _ in before]
    async with projecting():
        await feed.append([erasure_of(history, userId="ann")])
        [report] = await all_done(mariadb, history.app_id)
    assert report["dead_letters"] == 2
    left: Any = await log_redis.xrange(key)
    assert [entry_id for entry_id, _ in left] == [ids[1]]
    assert SECRET.encode() not in await dumped(log_redis, key)


async def test_it_is_carried_on_whoever_owns_the_shard(
    projecting: Any,
    feed: Any,
    history: Any,
    mariadb: Any,
    tables_of: Any,
    log_redis: Redis,
    eraser_of: Callable[[], Eraser],
    monkeypatch: pytest.MonkeyPatch,
):
    """After each step another owner goes on; sometimes two work at once; entries come meanwhile."""
    app_id, tables = history.app_id, tables_of(mariadb)
    monkeypatch.setattr(eraser_module, "SLICE_SECONDS", 0.0)
    monkeypatch.setattr(streams_module, "ENTRIES", 7)
    monkeypatch.setattr("imc_command_api.store.erasures.ROWS", 4)
    found, step = list[dict[str, Any]](), 0
    work, never = Eraser.work, asyncio.Event()

    async def nothing(*_: Any) -> None:
        await never.wait()

    monkeypatch.setattr(Eraser, "work", nothing)
    async with projecting():
        await feed.append(entries_of(history, 10))
        await feed.append([erasure_of(history, userId="ann"), erasure_of(history, userId="ann")])
        await feed.projected()
        for step in range(500):
            first, second = eraser_of(), eraser_of()
            await asyncio.gather(work(first, ALL_SHARDS), *([work(second, ALL_SHARDS)] if step % 3 else []))
            if step < 40:
                await feed.append([history.sent(history.message("g", userId="ann", content=f"later {step}"))])
            found = await reports(mariadb, app_id)
            if all(each["finish_time"] for each in found):
                break
        await feed.projected()
    assert [each["stage"] for each in found] == [Stage.DONE] * 2
    assert sum(each["messages"] for each in found) == 20
    assert sum(each["notices"] for each in found) == 2
    contents = [row["content"] for row in await tables.messages(app_id)]
    assert sum(content.startswith("later") for content in contents) == min(step + 1, 40)
    assert sum(content.startswith("words of bob") for content in contents) == 20
    assert len(contents) == 20 + min(step + 1, 40)
    assert (await tables.groups(app_id))["g"][0] == 10 + min(step + 1, 40)
    assert SECRET.encode() not in await dumped(log_redis, names.log(app_id))
    keys: Any = await log_redis.keys("*copy*")
    assert keys == []


async def test_out_of_memory_the_copy_is_given_up_and_begun_anew(
    projecting: Any, feed: Any, history: Any, mariadb: Any, log_redis: Redis
):
    await feed.append(entries_of(history))
    info: Any = await log_redis.info("memory")
    await log_redis.config_set("maxmemory", info["used_memory"])
    try:
        async with projecting():
            await log_redis.config_set("maxmemory", 0)
            await feed.append([erasure_of(history)])
            await log_redis.config_set("maxmemory", 1)

            async def is_at_the_log() -> bool:
                found = await reports(mariadb, history.app_id)
                return bool(found) and found[0]["stage"] == Stage.LOG

            await wait_until(is_at_the_log, 20)
            await log_redis.config_set("maxmemory", 0)
            await all_done(mariadb, history.app_id)
    finally:
        await log_redis.config_set("maxmemory", 0)
    assert SECRET.encode() not in await dumped(log_redis, names.log(history.app_id))


async def test_one_that_fails_keeps_no_other_waiting(
    projecting: Any, feed: Any, history: Any, mariadb: Any, log_redis: Redis
):
    fails, other = erasure_of(history, userId="ann"), erasure_of(history, userId="bob")
    copy = names.log_copy(history.app_id, int(json.loads(fails.entry.body)["erasureId"]))
    await log_redis.set(copy, "no stream")
    async with projecting():
        await feed.append([*entries_of(history), fails, other])

        async def is_one_done() -> bool:
            return [each["stage"] for each in await reports(mariadb, history.app_id)] == [
                Stage.LOG,
                Stage.DONE,
            ]

        await wait_until(is_one_done, 20)
        await log_redis.delete(copy)
        await all_done(mariadb, history.app_id, 2)
    assert SECRET.encode() not in await dumped(log_redis, names.log(history.app_id))


async def test_what_is_projected_late_does_not_bring_rows_back(history: Any, database: Database, tables: Any):
    """A projector that hung, and a notice that is published once more, after the rows were erased."""
    projection, app_id = Projection(database), history.app_id
    hers, his = history.message(userId="ann"), history.message(userId="bob")
    notice = history.notice(userId="ann")
    both, published = [history.sent(hers), history.sent(his)], history.published(notice)
    recalled = history.recalled(hers)
    await projection.apply([*both, published, erasure_of(history, userId="ann")])
    ids = {"message_ids": [int(hers["messageId"])], "information_ids": [int(notice["informationId"])]}
    await Removal(database).remove(app_id, **ids)
    before = await tables.messages(app_id), await tables.groups(app_id)
    assert users_of(before[0]) == {"bob"}
    await projection.apply([*both, published, recalled], {app_id})
    assert (await tables.messages(app_id), await tables.groups(app_id)) == before
    assert await tables.notices(app_id) == []
    await projection.apply([history.sent(history.message(userId="ann", content="new"))], {app_id})
    assert [row["content"] for row in await tables.messages(app_id) if row["user_id"] == "ann"] == ["new"]


async def test_a_batch_that_was_read_long_ago_is_late(mariadb: Any, history: Any, tables_of: Any):
    writer = StretchWriter(Projection(mariadb), ProjectorMetrics(CollectorRegistry()))
    sent = history.sent(history.message())
    fields = {b"k": bytes(sent.entry.kind), b"v": sent.entry.body}
    entry = understand(history.app_id, sent.entry.id_text, fields)
    stretch = Stretch(history.app_id, b"epoch", b"0-0", [entry])
    await writer.write([stretch])
    await Projection(mariadb).apply([erasure_of(history, groupId="g")])
    await Removal(mariadb).remove(history.app_id, message_ids=[entry.row[0]])  # pyright: ignore
    old = Stretch(history.app_id, b"epoch", b"0-0", [entry], time.monotonic() - LATE_SECONDS - 1)
    new = Stretch(f"{history.app_id}-new", b"epoch", b"0-0", [])
    for stretches in ([old], [old, new], [new, old]):
        assert await writer.write(stretches) == {}
        assert await tables_of(mariadb).count(history.app_id) == 0


def test_an_entry_that_was_erased_is_no_dead_letter(app_id: str):
    entry = understand(app_id, b"1-1", ERASED_FIELDS)
    assert (entry.row, entry.fault) == (None, "")


@pytest.mark.parametrize("owner", [None, "user", "group"])
async def test_what_is_to_be_erased_is_found_through_an_index(mariadb: Database, owner: str | None):
    erasures = Erasures(mariadb, Removal(mariadb))
    for table in (schema.MESSAGES, schema.NOTICES):
        values = ("app", *(["owner"] if owner else []), 0, "a", "a", 7, 300)
        (plan,) = await mariadb.fetch_all(f"EXPLAIN {erasures.find[table, owner]}", values)
        key, extra = plan[5], plan[9]
        assert key == ("PRIMARY" if owner is None else f"{table}_{owner}")
        if owner is None or table == schema.MESSAGES:
            assert "filesort" not in extra, "steps of large apps and users sort nothing"
    (plan,) = await mariadb.fetch_all(f"EXPLAIN {erasures.find_unfinished}", (10,))
    assert plan[5] in ("imc_erasure_unfinished", "PRIMARY")
