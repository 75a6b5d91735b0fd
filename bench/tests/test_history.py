from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

import orjson
import pytest
from imc_bench.rows import InvalidRun
from imc_bench.store import plans, queries
from imc_bench.store.history import APP, LONG_GROUP, History, definition, history
from imc_contracts.schema import GROUPS, MESSAGES
from imc_testkit import databases

ROWS = 2_003


@pytest.fixture(scope="module")
async def stored(database_server_url: str) -> History:
    return await history(database_server_url, ROWS)


async def test_the_tables_hold_the_computed_messages(stored: History) -> None:
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


async def test_group_rows_match_the_messages(stored: History) -> None:
    wrong = await databases.run(
        stored.url,
        f"SELECT g.group_id FROM {GROUPS} g WHERE (message_total, newest_message_id, newest_create_time) <> ("
        f" SELECT COUNT(*), MAX(message_id), MAX(create_time) FROM {MESSAGES} m"
        " WHERE m.app_id = g.app_id AND m.group_id = g.group_id)",
    )
    assert wrong == []
    assert await databases.run(stored.url, f"SELECT SUM(message_total) FROM {GROUPS}") == [(ROWS,)]


async def test_tables_equal_those_of_migrations(stored: History, database_url: str) -> None:
    assert await definition(stored.url) == await definition(database_url)


async def test_a_history_is_made_once(stored: History, database_server_url: str) -> None:
    await databases.run(stored.url, "CREATE TABLE made_first (x INT)")
    again = await history(database_server_url, ROWS)
    assert again == stored
    assert await databases.run(again.url, "SHOW TABLES LIKE 'made_first'")


@pytest.mark.parametrize(
    "kind",
    [queries.NEWEST, queries.FIRST, queries.BEFORE, queries.AFTER, queries.ANY_GROUP, queries.USER],
)
def test_a_wrong_reply_is_found(kind: queries.QueryKind) -> None:
    query = kind.draw(History("", ROWS), Random(1))
    ids = query.expected or ["7", "8"]
    messages = [{"messageId": each, "createTime": 1} for each in ids]

    def reply(found: Sequence[Mapping[str, object]]) -> bytes:
        return orjson.dumps({"data": {"total": None, "pageMessageList": found}})

    queries.check(query, reply(messages))
    queries.check(query, orjson.dumps({"data": {"messages": messages, "hasMore": False}}))
    for wrong in (messages[::-1], [*messages, messages[-1]], []):
        with pytest.raises(InvalidRun):
            queries.check(query, reply(wrong))


def running(url: str, statement: str) -> Callable[[], Awaitable[object]]:
    return lambda: databases.run(url, statement)


async def test_a_plan_with_a_scan_or_a_sort_is_found(stored: History) -> None:
    by_index = f"SELECT * FROM {MESSAGES} WHERE app_id = 'bench' AND message_id = 1"
    assert "1 statements" in await plans.check(stored.url, running(stored.url, by_index))
    for costly in (
        f"SELECT * FROM {MESSAGES} WHERE content = 'x'",
        f"SELECT * FROM {MESSAGES} WHERE app_id = 'bench' ORDER BY content",
    ):
        with pytest.raises(InvalidRun, match="a scan or a sort"):
            await plans.check(stored.url, running(stored.url, costly))
