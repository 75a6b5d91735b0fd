"""Recalls and notices are written through; what the database says of it costs no command its reply."""

from typing import Any

import pymysql.err
import pytest
import structlog
from imc_command_api.store.projection import Projection
from imc_command_api.store.write_through import ProjectionWriteThrough
from imc_service.database._sessions import MysqlSession
from imc_service.database.database import Values, open_database
from imc_testkit import databases
from imc_testkit.processes import free_port


async def test_what_is_written_through_is_readable(mariadb: Any, history: Any, tables_of: Any):
    published = history.published(history.notice())
    await ProjectionWriteThrough(Projection(mariadb))(published.app_id, published.entry)
    assert len(await tables_of(mariadb).notices(history.app_id)) == 1


async def test_a_commit_whose_reply_is_lost_is_repeated_and_counted_once(
    mariadb: Any, history: Any, tables_of: Any, monkeypatch: pytest.MonkeyPatch
):
    execute, lost = MysqlSession.execute, iter([True])

    async def lose_the_first_reply(session: MysqlSession, sql: str, values: Values = ()) -> int:
        changed = await execute(session, sql, values)
        if sql == "COMMIT" and next(lost, False):
            raise pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query")
        return changed

    monkeypatch.setattr(MysqlSession, "execute", lose_the_first_reply)
    sent = history.sent(history.message())
    with structlog.testing.capture_logs() as told:
        await ProjectionWriteThrough(Projection(mariadb))(sent.app_id, sent.entry)
    assert told == []
    assert next(lost, None) is None
    assert len(await tables_of(mariadb).messages(history.app_id)) == 1
    assert [group[0] for group in (await tables_of(mariadb).groups(history.app_id)).values()] == [1]


async def test_a_refusal_is_left_to_the_projector_and_told_in_the_words_of_the_database(
    new_schema: str, history: Any, tables_of: Any
):
    await databases.run(
        new_schema, "ALTER TABLE imc_notice ADD CONSTRAINT short CHECK (CHAR_LENGTH(content) < 9)"
    )
    async with open_database(new_schema) as database:
        projection = Projection(database)
        for content, rows in (("private words", 0), ("short", 1)):
            published = history.published(history.notice(content=content))
            with structlog.testing.capture_logs() as told:
                await ProjectionWriteThrough(projection)(published.app_id, published.entry)
            assert len(await tables_of(database).notices(history.app_id)) == rows
            assert len(told) == (1 - rows)
            assert all("4025 CONSTRAINT `short` failed" in line["reason"] for line in told)
            assert "private" not in str(told)
        assert await projection.trouble() is None


async def test_a_database_that_is_away_is_told_by_readiness_alone(history: Any):
    async with open_database(f"mysql://u:p@127.0.0.1:{free_port()}/imc") as database:
        projection = Projection(database)
        published = history.published(history.notice())
        with structlog.testing.capture_logs() as told:
            for _ in range(3):
                await ProjectionWriteThrough(projection)(published.app_id, published.entry)
        assert [line for line in told if line["log_level"] != "debug"] == []
        trouble = await projection.trouble()
        assert trouble is not None
        assert trouble.startswith("out of reach (2003 ")
