"""Entries that no table can hold: dead-lettered byte for byte, while the others flow."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
from imc_command_api.projector import quarantine
from imc_command_api.store.projection import Projection
from imc_service.database.database import open_database
from imc_testkit import databases
from imc_testkit.waiting import wait_until


@pytest.fixture
async def shown(tables_of: Any, new_schema: str) -> AsyncGenerator[Any]:
    async with open_database(new_schema) as database:
        yield tables_of(database)


async def test_what_is_no_event_is_dead_lettered_and_the_others_flow(
    projecting: Any, feed: Any, history: Any, mariadb: Any, tables_of: Any, dead_letter_count: Any
):
    foreign = orjson.dumps(history.message() | {"appId": "another"})
    poison = [
        {b"k": b"s", b"v": b"\x00\xffno json"},
        {b"k": b"s", b"v": foreign},
        {b"k": b"?", b"v": b"{}"},
        {b"\x80": b"", b"text": "\U0001f600".encode()},
    ]
    await feed.append([history.sent(history.message()) for _ in range(10)])
    places = [await feed.xadd(fields) for fields in poison]
    await feed.append([history.sent(history.message()) for _ in range(10)])
    async with projecting() as registry:
        await wait_until(lambda: dead_letter_count(registry, "malformed") == 4)
        await feed.projected()
    assert await tables_of(mariadb).count(history.app_id) == 20
    for fields, original, place in zip(await feed.dead_letters(), poison, places, strict=True):
        assert original.items() <= fields.items()
        assert fields[b"id"] == place
        assert fields[b"reason"]
        assert int(fields[b"time"]) > 1_600_000_000_000


async def test_what_the_database_refuses_is_found_among_the_others_and_dead_lettered(
    projecting: Any, new_schema: str, feed: Any, history: Any, shown: Any, dead_letter_count: Any
):
    async with shown.database.session() as session:
        # A column narrower than ours: the server refuses some values that every check of ours lets pass.
        await session.execute("ALTER TABLE imc_message MODIFY user_id VARCHAR(20) NOT NULL")
    try:
        bad = {7, 8, 500, 1999}
        messages = [history.message(userId="u" * 100 if number in bad else "u") for number in range(2000)]
        await feed.append([history.sent(message) for message in messages])
        async with projecting(database_url=new_schema) as registry:
            await feed.projected()
            # The letter is there a moment before it is counted.
            await wait_until(lambda: dead_letter_count(registry, "data") == len(bad))
            assert dead_letter_count(registry) == len(bad)
            # Five tries each; none of the others was ever refused alone.
            assert registry.get_sample_value("imc_projector_refusals_total") == 5 * len(bad)
    finally:
        async with shown.database.session() as session:
            await session.execute(
                "ALTER TABLE imc_message MODIFY user_id VARCHAR(127) "
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
            )
    assert await shown.count(history.app_id) == 2000 - len(bad)
    assert (await shown.groups(history.app_id))["g"][0] == 2000 - len(bad)
    letters = await feed.dead_letters()
    dead_lettered = {orjson.loads(letter[b"v"])["messageId"] for letter in letters}
    assert dead_lettered == {messages[number]["messageId"] for number in bad}
    assert {letter[b"reason"] for letter in letters} == {b"1406 Data too long for column 'user_id' at row 1"}


TEXTS = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
REFUSALS = {
    "a CHECK": (
        ["ALTER TABLE imc_message ADD CONSTRAINT short CHECK (CHAR_LENGTH(content) < 9)"],
        ["ALTER TABLE imc_message DROP CONSTRAINT short"],
        "check",
        r"4025 CONSTRAINT `short` failed for `imc_test_\w+`.`imc_message`",
    ),
    "a trigger": (
        [
            "CREATE TRIGGER no_bad BEFORE INSERT ON imc_message FOR EACH ROW IF NEW.content LIKE 'bad%' "
            "THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'we store\n nothing bad'; END IF"
        ],
        ["DROP TRIGGER no_bad"],
        "trigger",
        "1644 we store nothing bad",
    ),
    "a trigger with a number of its own": (
        [
            "CREATE TRIGGER no_bad BEFORE INSERT ON imc_message FOR EACH ROW IF NEW.content LIKE 'bad%' "
            "THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 31000, MESSAGE_TEXT = 'no'; END IF"
        ],
        ["DROP TRIGGER no_bad"],
        "trigger",
        "31000 no",
    ),
    "an error that is not classified": (
        [
            "CREATE TRIGGER no_bad BEFORE INSERT ON imc_message FOR EACH ROW IF NEW.content LIKE 'bad%' "
            "THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1105, MESSAGE_TEXT = 'who knows'; END IF"
        ],
        ["DROP TRIGGER no_bad"],
        "unknown",
        "1105 who knows",
    ),
    "a unique index": (
        ["ALTER TABLE imc_message ADD COLUMN bad INT AS (IF(content LIKE 'bad%', 1, NULL)) VIRTUAL UNIQUE"],
        ["ALTER TABLE imc_message DROP COLUMN bad"],
        "duplicate",
        "another row has a value that must be unique",
    ),
    "a foreign key": (
        [
            f"CREATE TABLE known (content VARCHAR(20) {TEXTS} PRIMARY KEY)",
            "INSERT INTO known VALUES ('hello')",
            f"ALTER TABLE imc_message MODIFY content VARCHAR(200) {TEXTS} NOT NULL, "
            "ADD CONSTRAINT to_known FOREIGN KEY (content) REFERENCES known (content)",
        ],
        [
            "ALTER TABLE imc_message DROP FOREIGN KEY to_known",
            f"ALTER TABLE imc_message DROP INDEX to_known, MODIFY content TEXT {TEXTS} NOT NULL",
            "DROP TABLE known",
        ],
        "reference",
        "1452 Cannot add or update a child row",
    ),
    "a character set": (
        ["ALTER TABLE imc_message MODIFY content TEXT CHARACTER SET latin1 NOT NULL"],
        [f"ALTER TABLE imc_message MODIFY content TEXT {TEXTS} NOT NULL"],
        "data",
        "1366 Incorrect string value: '…' for column",
    ),
    "a generated column": (
        [
            "ALTER TABLE imc_message ADD COLUMN n INT AS (CASE WHEN content LIKE 'bad%' "
            "THEN CAST(content AS INTEGER) ELSE 1 END) STORED"
        ],
        ["ALTER TABLE imc_message DROP COLUMN n"],
        "data",
        "1292 Truncated incorrect INTEGER value: '…'",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_one_row_that_is_refused_is_dead_lettered_with_the_words_of_the_database(
    name: str, projecting: Any, new_schema: str, feed: Any, history: Any, shown: Any, dead_letter_count: Any
):
    to_refuse, mend, kind, words = REFUSALS[name]
    bad = "bad 😀 words of a user"
    already = history.message(content=bad)
    await databases.run(new_schema, "TRUNCATE imc_message")
    if name == "a unique index":
        await Projection(shown.database).apply([history.sent(already)])
    messages = [history.message(content=bad if number == 70 else "hello") for number in range(100)]
    await databases.run(new_schema, *to_refuse)
    try:
        await feed.append([history.sent(message) for message in messages])
        async with projecting(database_url=new_schema) as registry:
            await feed.projected()
            await wait_until(lambda: dead_letter_count(registry, kind) == 1)
            assert dead_letter_count(registry) == 1
            assert registry.get_sample_value("imc_projector_refusals_total") == 5
    finally:
        await databases.run(new_schema, *mend)
    rows = await shown.messages(history.app_id)
    stored = {row["message_id"] for row in rows} - {int(already["messageId"])}
    assert stored == {int(message["messageId"]) for message in messages} - {int(messages[70]["messageId"])}
    [letter] = await feed.dead_letters()
    assert re.match(words, letter[b"reason"].decode()), letter[b"reason"]
    assert "words of a user" not in letter[b"reason"].decode()


async def test_what_is_wrong_with_the_whole_store_puts_nothing_aside(
    projecting: Any, new_schema: str, feed: Any, history: Any, shown: Any
):
    await feed.append([history.sent(history.message()) for _ in range(3)])
    # A number that is not classified, while the table is not as it must be either.
    await databases.run(
        new_schema,
        "CREATE TRIGGER broken BEFORE INSERT ON imc_message FOR EACH ROW "
        "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1105, MESSAGE_TEXT = 'who knows'",
        "RENAME TABLE imc_notice TO away",
    )
    async with projecting(database_url=new_schema) as registry:
        await wait_until(lambda: (registry.get_sample_value("imc_projector_retries_total") or 0) > 5)
        await databases.run(new_schema, "DROP TRIGGER broken", "RENAME TABLE away TO imc_notice")
        await feed.projected()
    assert await shown.count(history.app_id) == 3
    assert await feed.dead_letters() == []


async def test_a_refusal_that_passes_puts_nothing_aside(
    projecting: Any, new_schema: str, feed: Any, history: Any, shown: Any
):
    async with shown.database.session() as session:
        await session.execute("ALTER TABLE imc_notice MODIFY title VARCHAR(5)")
    await feed.append([history.published(history.notice(title="longer than that")) for _ in range(3)])
    async with projecting(database_url=new_schema) as registry:
        await wait_until(lambda: registry.get_sample_value("imc_projector_refusals_total"))
        async with shown.database.session() as session:
            await session.execute(
                "ALTER TABLE imc_notice MODIFY title VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )
        await feed.projected()
    assert len(await shown.notices(history.app_id)) == 3
    assert await feed.dead_letters() == []


async def test_an_app_rests_for_its_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(quarantine, "REST_SECONDS", 0.05)
    unused: Any = None
    resting = quarantine.Quarantine(unused, unused, unused)
    resting.rest("app")
    assert "app" in resting
    await wait_until(lambda: "app" not in resting)
    resting.rest("app")
    await resting.end()
    assert "app" not in resting
