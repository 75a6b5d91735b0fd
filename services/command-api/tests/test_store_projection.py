"""The projection's promises, held by every database that it writes to."""

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from imc_command_api.store import projection as projection_module
from imc_command_api.store.changes import row_of
from imc_command_api.store.coalesce import Key
from imc_command_api.store.lookup import find_apps_of_notice, find_message, find_notice
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_command_api.store.removal import Removal
from imc_command_api.store.statements import statements
from imc_contracts.cursor import EntryId
from imc_contracts.events import MalformedEvent
from imc_contracts.views import deleted, recalled
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from imc_service.retry import Backoff

HOSTILE = {
    "empty": "",
    "nul": "a\0b\0",
    "quotes": "'\"`'' \\' \\\\ \\",
    "backslashes at the end": "\\\\\\",
    "markers": "? %s %% %(name)s {} :name @x -- /* */ ; # ${x}",
    "lines": "\r\n\n\r\t\x0b\x0c\x1a\x08",
    "separators": "\u2028\u2029\u0085\ufeff\u200b",
    "emoji": "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0010ffff \uffff",
    "marks": "e\u0301 \u00e9 \u4e2d\u6587 \u0627\u0644",
    "spaces around": "  x  ",
    "longest": "\u20ac" * 21_845,
    "longest and escaped": "'" * 65_535,
}


@pytest.fixture
def projection(database: Database) -> Projection:
    return Projection(database)


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
async def test_texts_come_back_byte_for_byte(
    projection: Projection, database: Database, history: Any, content: str
):
    message = history.message(f"g{content[:50].strip()}", content=content)
    notice = history.notice(content=content, title=content[:255], jumpUrl=content[:2048])
    await projection.apply([history.sent(message), history.published(notice)])
    assert await find_message(database, history.app_id, int(message["messageId"])) == message
    assert await find_notice(database, history.app_id, int(notice["informationId"])) == notice


async def test_what_is_not_there_is_not_found(database: Database):
    assert await find_message(database, "a", 1) is None
    assert await find_notice(database, "a", 1) is None


async def test_two_apps_may_have_the_same_ids(
    projection: Projection, database: Database, history: Any, history_of: Any
):
    other = history_of(f"{history.app_id}-x")
    message, notice = history.message(), history.notice()
    message_id, notice_id = int(message["messageId"]), int(notice["informationId"])
    theirs = other.message(messageId=message["messageId"], content="theirs")
    their_notice = other.notice(informationId=notice["informationId"], content="theirs")
    await projection.apply(
        [history.sent(message), other.sent(theirs), history.published(notice), other.published(their_notice)]
    )
    await projection.apply([other.recalled(theirs, 7), other.deleted(their_notice, 8)])
    assert await find_message(database, history.app_id, message_id) == message
    assert await find_notice(database, history.app_id, notice_id) == notice
    assert await find_message(database, other.app_id, message_id) == recalled(theirs, 7, None)
    assert await find_notice(database, other.app_id, notice_id) == deleted(their_notice, 8)
    assert await find_message(database, f"{history.app_id}.", message_id) is None
    assert await find_notice(database, f"{history.app_id}.", notice_id) is None


async def test_the_apps_of_a_notice_are_found_by_its_id(
    projection: Projection, database: Database, history: Any, history_of: Any
):
    other, notice = history_of(f"{history.app_id}-x"), history.notice()
    notice_id, both = int(notice["informationId"]), {history.app_id, other.app_id}
    await projection.apply([history.published(notice)])
    for apps in (None, frozenset({history.app_id}), frozenset({"else", history.app_id})):
        assert await find_apps_of_notice(database, notice_id, apps) == [history.app_id]
    for apps in (frozenset({"else"}), frozenset({"else", f"{history.app_id}."}), frozenset[str]()):
        assert await find_apps_of_notice(database, notice_id, apps) == []
    await projection.apply([other.published(other.notice(informationId=notice["informationId"]))])
    assert set(await find_apps_of_notice(database, notice_id, None)) == both
    assert await find_apps_of_notice(database, notice_id, frozenset({other.app_id})) == [other.app_id]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("recall_first", [True, False])
async def test_send_and_recall_in_either_order_end_in_the_same_row(
    projection: Projection, tables: Any, database: Database, history: Any, recall_first: bool, together: bool
):
    message = history.message(content="secret")
    sent, recall = history.sent(message), history.recalled(message, 77, "regret")
    order = [recall, sent] if recall_first else [sent, recall]
    for batch in [order] if together else [[event] for event in order]:
        await projection.apply(batch)
    (row,) = await tables.messages(history.app_id)
    assert (row["status"], row["content"], row["recall_time"], row["recall_cause"]) == (0, "", 77, "regret")
    assert (row["log_id"], row["last_log_id"]) == (sent.entry.id.column, recall.entry.id.column)
    assert await find_message(database, history.app_id, int(message["messageId"])) == recalled(
        message, 77, "regret"
    )


@pytest.mark.parametrize("together", [True, False])
async def test_a_message_that_is_sent_twice_is_the_first_of_both(
    projection: Projection, tables: Any, history: Any, together: bool
):
    message = history.message(content="first")
    sent = [history.sent(message), history.sent({**message, "content": "second"})]
    for batch in [sent] if together else [[event] for event in sent]:
        await projection.apply(batch)
    (row,) = await tables.messages(history.app_id)
    assert row["content"] == "first"


@pytest.mark.parametrize("delete_first", [True, False])
async def test_publication_and_deletion_in_either_order_end_in_the_same_row(
    projection: Projection, tables: Any, database: Database, history: Any, delete_first: bool
):
    notice = history.notice()
    published, deletion = history.published(notice), history.deleted(notice, 88)
    for event in [deletion, published] if delete_first else [published, deletion]:
        await projection.apply([event])
    (row,) = await tables.notices(history.app_id)
    assert (row["log_id"], row["last_log_id"]) == (published.entry.id.column, deletion.entry.id.column)
    assert await find_notice(database, history.app_id, int(notice["informationId"])) == deleted(notice, 88)


async def test_a_recall_of_a_row_of_the_java_version_keeps_its_places_empty_but_the_newest(
    projection: Projection, tables: Any, database: Database, history: Any
):
    message = history.message(content="old")
    async with database.transaction() as session:
        await session.execute(
            "INSERT INTO imc_message (message_id, app_id, group_id, user_id, content, create_time) "
            "VALUES (?, ?, 'g', 'u', 'old', 1)",
            (int(message["messageId"]), history.app_id),
        )
    recall = history.recalled(message)
    await projection.apply([recall])
    (row,) = await tables.messages(history.app_id)
    assert (row["content"], row["status"], row["log_id"]) == ("", 0, None)
    assert row["last_log_id"] == recall.entry.id.column


async def test_groups_count_each_message_once_and_know_the_newest(
    projection: Projection, tables: Any, history: Any
):
    early = [history.message("A", createTime=5) for _ in range(3)]
    late, tie = history.message("A", createTime=9), history.message("A", createTime=9)
    other = history.message("a", createTime=1)
    sends = [history.sent(message) for message in (tie, *early, late, other)]
    await projection.apply(sends[:4])
    await projection.apply([*sends, *sends, history.recalled(tie)])
    await projection.apply(sends)
    assert await tables.groups(history.app_id) == {
        "A": (5, int(tie["messageId"]), 9),
        "a": (1, int(other["messageId"]), 1),
    }


async def test_apps_may_be_mixed_and_each_counts_its_own(
    projection: Projection, tables: Any, history: Any, history_of: Any
):
    other = history_of(f"{history.app_id}-x")
    message = history.message("g", content="mine")
    theirs = other.message("g", messageId=message["messageId"], content="theirs")
    events = [
        history.sent(message),
        other.sent(theirs),
        other.sent(other.message("g")),
        other.recalled(theirs),
    ]
    for batch in (events, events, *([event] for event in events)):
        await projection.apply(batch)
    (row,) = await tables.messages(history.app_id)
    assert (row["content"], row["status"], row["log_id"]) == ("mine", 1, row["last_log_id"])
    assert [row["content"] for row in await tables.messages(other.app_id)] == ["", "hello"]
    assert (await tables.groups(history.app_id))["g"][0] == 1
    assert (await tables.groups(other.app_id))["g"][0] == 2


async def test_the_position_of_a_projection_only_grows(
    projection: Projection, tables: Any, history: Any, history_of: Any
):
    other, epoch, next_epoch = history_of(f"{history.app_id}-x"), "e" * 40, "f"
    early, late, later = (EntryId(1_790_000_000_000, seq).column for seq in (9, 10, 11))
    await projection.apply_rows([], {history.app_id: (epoch, late), other.app_id: (epoch, early)})
    sent = history.sent(history.message())
    await projection.apply_rows(
        [row_of(*sent)], {history.app_id: (next_epoch, early), other.app_id: (next_epoch, later)}
    )
    assert await tables.position(history.app_id) == (epoch, late)
    assert await tables.position(other.app_id) == (next_epoch, later)
    assert await tables.count(history.app_id) == 1
    await projection.apply([history.sent(history.message())])
    assert await tables.position(history.app_id) == (epoch, late)


async def test_a_malformed_entry_stops_the_batch_before_anything_is_written(
    projection: Projection, tables: Any, history: Any
):
    stray = PlacedEntry("another-app", history.sent(history.message()).entry)
    with pytest.raises(MalformedEvent):
        await projection.apply([history.sent(history.message()), stray])
    assert await tables.messages(history.app_id) == []


async def test_a_batch_is_written_as_a_whole_or_not_at_all(
    projection: Projection, tables: Any, database: Database, history: Any
):
    refuse = (
        "WHEN NEW.group_id = 'refused' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        if database.is_sqlite
        else "FOR EACH ROW IF NEW.group_id = 'refused' THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    async with database.session() as session:
        await session.execute(f"CREATE TRIGGER refuse_group BEFORE INSERT ON imc_group {refuse}")
    try:
        with pytest.raises((StatementRefused, StoreUnavailable)):
            await projection.apply_rows(
                [
                    row_of(*each)
                    for each in (
                        history.sent(history.message("refused")),
                        history.published(history.notice()),
                    )
                ],
                {history.app_id: ("e", EntryId(1, 1).column)},
            )
    finally:
        async with database.session() as session:
            await session.execute("DROP TRIGGER refuse_group")
    assert await tables.messages(history.app_id) == []
    assert await tables.notices(history.app_id) == []
    assert await tables.groups(history.app_id) == {}
    assert await tables.position(history.app_id) is None


async def test_the_server_says_how_many_rows_were_new(database: Database, history: Any):
    insert = statements(is_sqlite=database.is_sqlite).messages.insert
    old, new = (row_of(history.app_id, history.sent(history.message()).entry) for _ in range(2))
    async with database.transaction() as session:
        assert await session.execute_many(insert, [old]) == 1
        assert await session.execute_many(insert, [old]) == 0
        assert await session.execute_many(insert, [old._replace(content="other"), new]) == 1


async def test_a_large_batch_takes_several_statements_and_one_transaction(
    projection: Projection, tables: Any, history: Any
):
    messages = [history.message(f"g{n % 700}", content="'" * 3000) for n in range(2500)]
    events = [history.sent(message) for message in messages]
    random.Random(1).shuffle(events)
    await projection.apply(events)
    await projection.apply([*events[:1500], history.sent(history.message("g0"))])
    groups = await tables.groups(history.app_id)
    assert sum(total for total, _, _ in groups.values()) == await tables.count(history.app_id) == 2501
    assert groups["g0"][0] == 5


async def test_what_is_sent_is_looked_for_only_where_it_may_be_known(
    projection: Projection, history: Any, monkeypatch: pytest.MonkeyPatch
):
    """A look costs a statement; where it is left out wrongly, all is written once more."""
    looked_for: list[Sequence[Key]] = []
    look = projection_module.lock_existing

    async def noted(session: Any, table: Any, keys: Sequence[Key]) -> Collection[Key]:
        looked_for.append(keys)
        return await look(session, table, keys)

    monkeypatch.setattr(projection_module, "lock_existing", noted)
    messages = [history.message() for _ in range(3)]
    keys = [(history.app_id, int(message["messageId"])) for message in messages]
    sends = [history.sent(message) for message in messages]
    await projection.apply(sends)
    assert looked_for == [[], []], "of messages and of notices"
    looked_for.clear()
    await projection.apply([history.recalled(messages[0])])
    assert looked_for == [[keys[0]], []]
    looked_for.clear()
    await projection.apply(sends)
    assert looked_for == [[], keys, []], "seen a second time, in a second attempt"


async def test_writers_side_by_side_count_each_message_once(
    projection: Projection, tables: Any, history: Any
):
    chosen = random.Random(2)
    events = [history.sent(history.message(f"g{n % 5}")) for n in range(300)]

    async def write(share: list[PlacedEntry]) -> None:
        chosen.shuffle(share)
        for start in range(0, len(share), 40):
            batch = share[start : start + 40]
            await Backoff().retry(lambda: projection.apply(batch), StoreUnavailable)  # noqa: B023

    # Each event goes to two of four writers, so that every batch meets rows that another is just inserting.
    shares = [[event for at, event in enumerate(events) if at % 4 in (n, (n + 1) % 4)] for n in range(4)]
    await asyncio.gather(*(write(share) for share in shares))
    groups = await tables.groups(history.app_id)
    assert {name: total for name, (total, _, _) in groups.items()} == {f"g{n}": 60 for n in range(5)}
    assert await tables.count(history.app_id) == 300


async def test_nothing_to_apply_is_nothing_done(projection: Projection):
    await projection.apply([])


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("change", ["recalled", "sent again", "notice deleted", "notice published again"])
async def test_a_row_that_is_removed_while_it_is_changed_is_gone_and_counted_correctly(
    database: Database,
    projection: Projection,
    tables: Any,
    history: Any,
    change: str,
    late: bool,
    monkeypatch: pytest.MonkeyPatch,
):
    look, removal = projection_module.lock_existing, Removal(database)
    kept, message, notice = history.message(), history.message(), history.notice()
    sent, published = history.sent(message), history.published(notice)
    await projection.apply([history.sent(kept), sent, published])
    removals: list[asyncio.Task[Any]] = []

    async def removed_meanwhile(session: Any, table: Any, keys: Sequence[Key]) -> Collection[Key]:
        found = await look(session, table, keys)
        if keys and not removals:
            ids = {"message_ids": [int(message["messageId"])]}
            ids |= {"information_ids": [int(notice["informationId"])]}
            removals.append(asyncio.create_task(removal.remove(history.app_id, **ids)))
            # It waits for the lock, so it may not end before this transaction.
            await asyncio.wait(removals, timeout=0.3)
        return found

    changes = {"recalled": history.recalled(message), "sent again": sent}
    changes |= {"notice deleted": history.deleted(notice), "notice published again": published}
    monkeypatch.setattr(projection_module, "lock_existing", removed_meanwhile)
    await projection.apply([changes[change]], [history.app_id] if late else [])
    await asyncio.gather(*removals)
    [row] = await tables.messages(history.app_id)
    assert row["message_id"] == int(kept["messageId"])
    assert (await tables.groups(history.app_id))["g"][:2] == (1, int(kept["messageId"]))
    assert await tables.notices(history.app_id) == []
