from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import orjson
import pytest
from imc_bench.rows import Faulty
from imc_bench.store import plans, questions
from imc_bench.store.history import APP, LONG_GROUP, History, definition, history
from imc_contracts.schema import GROUPS, MESSAGES
from imc_testkit import databases

ROWS = 2_003


@pytest.fixture(scope="module")
async def stored(database_server_url: str) -> History:
    return await history(database_server_url, ROWS)


async def test_the_tables_hold_what_is_told_of_them(stored: History) -> None:
    found = await databases.run(
        stored.url,
        f"SELECT message_id FROM {MESSAGES} WHERE app_id = '{APP}' AND group_id = '{LONG_GROUP}'"
        " ORDER BY create_time, message_id",
    )
    assert [str(message_id) for (message_id,) in found] == stored.long_ids(0, ROWS)
    assert len(found) == stored.long_total
    assert await databases.run(stored.url, f"SELECT COUNT(*), COUNT(DISTINCT log_id) FROM {MESSAGES}") == [
        (ROWS, ROWS)
    ]


async def test_the_groups_are_counted(stored: History) -> None:
    wrong = await databases.run(
        stored.url,
        f"SELECT g.group_id FROM {GROUPS} g WHERE (message_total, newest_message_id, newest_create_time) <> ("
        f" SELECT COUNT(*), MAX(message_id), MAX(create_time) FROM {MESSAGES} m"
        " WHERE m.app_id = g.app_id AND m.group_id = g.group_id)",
    )
    assert wrong == []
    assert await databases.run(stored.url, f"SELECT SUM(message_total) FROM {GROUPS}") == [(ROWS,)]


async def test_its_tables_are_those_that_migrations_make(stored: History, database_url: str) -> None:
    assert await definition(stored.url) == await definition(database_url)


async def test_it_is_made_once(stored: History, database_server_url: str) -> None:
    await databases.run(stored.url, "CREATE TABLE of_the_first_time (x INT)")
    again = await history(database_server_url, ROWS)
    assert again == stored
    assert await databases.run(again.url, "SHOW TABLES LIKE 'of_the_first_time'")


@pytest.mark.parametrize(
    "kind", [questions.FIRST, questions.BEFORE, questions.AFTER, questions.ANY_GROUP, questions.USER]
)
def test_a_wrong_answer_is_found(kind: questions.Question) -> None:
    asked = kind.draw(History("", ROWS), Random(1))
    ids = asked.answer or ["7", "8"]
    messages = [{"messageId": each, "createTime": 1} for each in ids]

    def reply(found: Sequence[Mapping[str, object]]) -> bytes:
        return orjson.dumps({"data": {"total": None, "pageMessageList": found}})

    questions.check(asked, reply(messages))
    questions.check(asked, orjson.dumps({"data": messages}))
    for wrong in (messages[::-1], [*messages, messages[-1]], []):
        with pytest.raises(Faulty):
            questions.check(asked, reply(wrong))


def asking(url: str, statement: str) -> Callable[[], Awaitable[object]]:
    return lambda: databases.run(url, statement)


async def test_plans_tell_a_scan_and_a_sort(stored: History) -> None:
    by_index = f"SELECT * FROM {MESSAGES} WHERE message_id = 1"
    assert "1 statements" in await plans.check(stored.url, asking(stored.url, by_index))
    for costly in (
        f"SELECT * FROM {MESSAGES} WHERE content = 'x'",
        f"SELECT * FROM {MESSAGES} WHERE app_id = 'bench' ORDER BY content",
    ):
        with pytest.raises(Faulty, match="a scan or a sort"):
            await plans.check(stored.url, asking(stored.url, costly))
