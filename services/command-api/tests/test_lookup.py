"""Where a command finds what it is about: in the log that remembers it, or in the database."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from imc_command_api.domain.ids import time_of
from imc_command_api.log.recent import RecentEntries
from imc_command_api.log.script import MINUTE_MS
from imc_command_api.store.lookup import LogAndDatabaseLookup
from imc_command_api.store.projection import PlacedEntry, Projection
from imc_contracts import names
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.database.database import Database, open_database
from imc_service.redis.masters import Masters
from imc_testkit.child import free_port
from redis.asyncio import Redis

Remember = Callable[[PlacedEntry, str], Awaitable[None]]


@pytest.fixture
def lookup(log_redis: Redis, mariadb: Database) -> LogAndDatabaseLookup:
    return LogAndDatabaseLookup(RecentEntries(Masters(log_redis)), mariadb)


@pytest.fixture
async def lookup_without_database(log_redis: Redis) -> AsyncGenerator[LogAndDatabaseLookup]:
    async with open_database(f"mysql://imc:imc@127.0.0.1:{free_port()}/imc") as nothing:
        yield LogAndDatabaseLookup(RecentEntries(Masters(log_redis)), nothing)


@pytest.fixture
def remember(log_redis: Redis, feed_of: Any) -> Remember:
    """Appends an entry to its log, which remembers it as the append script makes it."""

    async def remember(placed: PlacedEntry, id_: str) -> None:
        (entry_id,) = await feed_of(log_redis, placed.app_id).append([placed])
        key = names.recent(names.shard_of(placed.app_id), time_of(int(id_)) // MINUTE_MS)
        await log_redis.hset(key, id_, entry_id + b" " + placed.app_id.encode())  # pyright: ignore[reportGeneralTypeIssues]

    return remember


async def refusal(lookup: Awaitable[Any]) -> Refused:
    with pytest.raises(Refused) as refused:
        await lookup
    return refused.value


async def test_a_message_without_an_app_is_of_the_app_whose_log_remembers_it(
    lookup: LogAndDatabaseLookup, remember: Remember, mariadb: Database, history: Any, history_of: Any
):
    message, other = history.message(), history_of(f"{history.app_id}-x")
    message_id = int(message["messageId"])
    theirs = other.sent(other.message(messageId=message["messageId"]))
    await Projection(mariadb).apply([theirs])
    await remember(history.sent(message), message["messageId"])
    for apps in (None, frozenset({history.app_id}), frozenset({history.app_id, other.app_id})):
        assert await lookup.message(message_id, apps) == message
    assert (await lookup.message(message_id, frozenset({other.app_id})))["appId"] == other.app_id
    missing = await refusal(lookup.message(message_id, frozenset({other.app_id, "another"})))
    assert missing.code is ErrorCode.MESSAGE_NOT_FOUND


async def test_a_message_that_no_log_remembers_is_found_with_its_app_alone(
    lookup: LogAndDatabaseLookup, mariadb: Database, history: Any
):
    message = history.message()
    await Projection(mariadb).apply([history.sent(message)])
    assert await lookup.message(int(message["messageId"]), frozenset({history.app_id})) == message
    missing = await refusal(lookup.message(int(message["messageId"]), None))
    assert missing.code is ErrorCode.MESSAGE_NOT_FOUND


async def test_a_notice_without_an_app_is_found_by_its_id(
    lookup: LogAndDatabaseLookup, mariadb: Database, history: Any
):
    notice = history.notice()
    notice_id = int(notice["informationId"])
    await Projection(mariadb).apply([history.published(notice)])
    for apps in (None, frozenset({history.app_id}), frozenset({history.app_id, "another"})):
        assert await lookup.notice(notice_id, apps) == notice
    for apps in (frozenset({"another"}), frozenset({"another", "and another"}), frozenset[str]()):
        assert (await refusal(lookup.notice(notice_id, apps))).code is ErrorCode.NOTICE_NOT_FOUND


async def test_a_notice_that_several_apps_have_needs_its_app(
    lookup: LogAndDatabaseLookup, mariadb: Database, history: Any, history_of: Any
):
    notice, other = history.notice(), history_of(f"{history.app_id}-x")
    notice_id = int(notice["informationId"])
    theirs = other.notice(informationId=notice["informationId"])
    await Projection(mariadb).apply([history.published(notice), other.published(theirs)])
    for apps in (None, frozenset({history.app_id, other.app_id})):
        refused = await refusal(lookup.notice(notice_id, apps))
        assert refused.code is ErrorCode.NOTICE_NOT_FOUND
        assert "several apps" in refused.message
    assert await lookup.notice(notice_id, frozenset({other.app_id})) == theirs
    assert await lookup.notice(notice_id, frozenset({history.app_id, "another"})) == notice


@pytest.mark.parametrize("several", [False, True])
async def test_without_the_database_the_log_is_looked_in(
    lookup_without_database: LogAndDatabaseLookup, remember: Remember, history: Any, several: bool
):
    lookup, apps = lookup_without_database, None if several else frozenset({history.app_id})
    message, notice = history.message(), history.notice()
    await remember(history.sent(message), message["messageId"])
    await remember(history.published(notice), notice["informationId"])
    assert await lookup.message(int(message["messageId"]), apps) == message
    assert await lookup.notice(int(notice["informationId"]), apps) == notice
    unknown = int(history.notice()["informationId"])
    assert (await refusal(lookup.notice(unknown, apps))).code is ErrorCode.UNAVAILABLE
