"""The reads of query-api stay inside the indexes that the migrations made: no scan, no sorting."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_command_api.store.projection import Projection
from imc_service.database.database import Database, open_database

MESSAGE_PAGE = "create_time >= 5 AND create_time < 900 ORDER BY create_time, message_id LIMIT 20"
BEFORE = (
    "create_time <= 500 AND (create_time < 500 OR message_id < 9) "
    "ORDER BY create_time DESC, message_id DESC LIMIT 20"
)
NOTICE_PAGE = (
    "status = 1 AND create_time >= 5 AND create_time < 900 "
    "ORDER BY create_time DESC, information_id DESC LIMIT 20"
)
SENT_PAGE = "log_id > '0000000000a' AND log_id < 'f' ORDER BY log_id LIMIT 500"
RETIRED_PAGE = (
    "status = 0 AND last_log_id > '0000000000a' AND last_log_id < 'f' ORDER BY last_log_id LIMIT 500"
)
APP, GROUP, USER = "app_id = 'a'", "group_id = 'g3'", "user_id = 'u3'"
QUERIES = {
    "group": (f"imc_chat_message WHERE {APP} AND {GROUP} AND {MESSAGE_PAGE}", "imc_message_group"),
    "before": (f"imc_chat_message WHERE {APP} AND {GROUP} AND {BEFORE}", "imc_message_group"),
    "user": (f"imc_chat_message WHERE {APP} AND {USER} AND {MESSAGE_PAGE}", "imc_message_user"),
    "group and user": (
        f"imc_chat_message WHERE {APP} AND {USER} AND {GROUP} AND {MESSAGE_PAGE}",
        "imc_message_user_group",
    ),
    "sent after a place in the log": (f"imc_chat_message WHERE {APP} AND {SENT_PAGE}", "imc_message_log"),
    "recalled after a place in the log": (
        f"imc_chat_message WHERE {APP} AND {RETIRED_PAGE}",
        "imc_message_retired",
    ),
    "notices of a group": (
        f"imc_notice_information WHERE {APP} AND {GROUP} AND {NOTICE_PAGE}",
        "imc_notice_group",
    ),
    "notices of a user": (
        f"imc_notice_information WHERE {APP} AND {USER} AND {NOTICE_PAGE}",
        "imc_notice_user",
    ),
    "notices of a group and user": (
        f"imc_notice_information WHERE {APP} AND {USER} AND {GROUP} AND {NOTICE_PAGE}",
        "imc_notice_user_group",
    ),
    "published after a place in the log": (
        f"imc_notice_information WHERE {APP} AND {SENT_PAGE}",
        "imc_notice_log",
    ),
    "deleted after a place in the log": (
        f"imc_notice_information WHERE {APP} AND {RETIRED_PAGE}",
        "imc_notice_retired",
    ),
}
# With the whole prefix of the index in the list: MariaDB does not take the loose scan otherwise.
GROUPS_OF_USER = f"SELECT DISTINCT app_id, user_id, group_id FROM imc_chat_message WHERE {APP} AND {USER}"


@pytest.fixture(scope="module")
async def filled(new_schema: str, history_of: Any) -> AsyncGenerator[Database]:
    """A database of its own, so that the statistics the optimizer goes by are those of these rows."""
    history = history_of("a")
    async with open_database(new_schema) as database:
        projection = Projection(database)
        for start in range(0, 4000, 1000):
            numbers = range(start, start + 1000)
            names = [(f"g{n % 20}", {"userId": f"u{n // 20 % 4}", "createTime": n // 4}) for n in numbers]
            messages = [history.message(group, **more) for group, more in names]
            notices = [history.notice(group, **more) for group, more in names]
            await projection.apply([history.sent(message) for message in messages])
            await projection.apply([history.published(notice) for notice in notices])
            await projection.apply([history.recalled(message) for message in messages[::50]])
            await projection.apply([history.deleted(notice) for notice in notices[::50]])
        async with database.session() as session:
            await session.fetch_all("ANALYZE TABLE imc_chat_message, imc_notice_information")
        yield database


@pytest.mark.parametrize(("query", "index"), QUERIES.values(), ids=QUERIES.keys())
async def test_a_page_is_read_from_its_index(filled: Database, query: str, index: str):
    plan = await filled.fetch_all(f"EXPLAIN SELECT content FROM {query}")
    kind, key, extra = plan[0][3], plan[0][5], plan[0][9]
    assert len(plan) == 1
    assert (kind in ("range", "ref"), key) == (True, index), plan
    assert "filesort" not in extra, plan
    assert "temporary" not in extra, plan
    assert await filled.fetch_all(f"SELECT 1 FROM {query}"), "a query that finds nothing proves nothing"


async def test_the_groups_of_a_user_are_leapt_through(filled: Database):
    plan = await filled.fetch_all(f"EXPLAIN {GROUPS_OF_USER}")
    assert (plan[0][3], plan[0][5]) == ("range", "imc_message_user_group")
    assert "Using index for group-by" in plan[0][9]


@pytest.mark.parametrize(("query", "index"), QUERIES.values(), ids=QUERIES.keys())
async def test_sqlite_reads_a_page_from_its_index(sqlite_url: str, query: str, index: str):
    async with open_database(sqlite_url) as database:
        plan = [row[3] for row in await database.fetch_all(f"EXPLAIN QUERY PLAN SELECT content FROM {query}")]
    assert len(plan) == 1, plan
    assert f"USING INDEX {index} " in plan[0]
