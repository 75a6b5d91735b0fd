"""Runs of `imc-migrate adopt`: what each option does, what it says, and how it ends."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from imc_command_api.migrations.adopt.display import Display
from imc_command_api.migrations.adopt.failures import Patience
from imc_command_api.migrations.adopt.passes import Passes, Target
from imc_command_api.migrations.adopt.progress import Journal, Progress
from imc_command_api.migrations.adopt.reading import Source
from imc_command_api.migrations.adopt.rejects import RejectsFile
from imc_command_api.migrations.adopt.source import JavaDatabase
from imc_command_api.migrations.adopt.tables import JAVA_MESSAGES
from imc_service.database.database import Session, StoreUnavailable, open_database
from imc_testkit.databases import connect, locked_rows, new_database, run
from imc_testkit.java_database import (
    MESSAGES as MAKE_MESSAGES,
)
from imc_testkit.java_database import (
    NOTICES as MAKE_NOTICES,
)
from imc_testkit.java_database import (
    check_adopted,
    check_groups,
    insert,
    java_database,
    message,
    notice,
    reader,
    recall_of,
    rejected,
)
from imc_testkit.processes import Process, free_port, run_script
from imc_testkit.waiting import wait_until

MESSAGES, NOTICES = "imc_chat_message", "imc_notice_information"


@dataclass
class Adoption:
    """A database of the Java version, one of IMC, and a folder."""

    java_url: str
    reader_url: str
    url: str
    folder: Path

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects"

    def process(self, *arguments: str, **environment: str) -> Process:
        variables = {
            "IMC_DATABASE_URL": self.url,
            "IMC_ADOPT_FROM": self.reader_url,
            "IMC_MIGRATE_WAIT_SECONDS": "1",
        }
        files = ("--rejects", str(self.rejects), "--report", str(self.folder / "report"))
        return Process("imc-migrate", variables | environment, arguments=("adopt", *files, *arguments))

    async def run(self, *arguments: str, status: int = 0, **environment: str) -> tuple[dict[str, Any], str]:
        """Its report and what it wrote."""
        async with self.process(*arguments, **environment) as process:
            assert await process.wait() == status, process.log
            report = self.folder / "report"
            return orjson.loads(report.read_bytes()) if report.exists() else {}, process.log


@pytest.fixture
async def adoption(database_server_url: str, tmp_path: Path) -> AsyncGenerator[Adoption]:
    async with (
        new_database(database_server_url) as url,
        java_database(database_server_url, "utf8mb4") as (java_url, reader_url),
    ):
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield Adoption(java_url, reader_url, url, tmp_path)


async def test_a_row_that_is_committed_after_a_later_one_is_copied_by_the_next_run(adoption: Adoption):
    await insert(adoption.java_url, MESSAGES, [message(1)])
    async with connect(adoption.java_url) as connection, connection.cursor() as cursor:
        await cursor.execute("START TRANSACTION")
        await cursor.execute(
            f"INSERT INTO {MESSAGES} (message_id, app_id, group_id, user_id, create_time)"
            " VALUES ('2', 'a', 'g', 'u', 5), ('x', 'a', 'g', 'u', 5)"
        )
        await insert(adoption.java_url, MESSAGES, [message(3)])
        report, _ = await adoption.run()
        assert report["tables"][MESSAGES]["read"] == 2
        await cursor.execute("COMMIT")
    for arguments in ((), ("--final",)):
        report, _ = await adoption.run(*arguments)
        part = report["tables"][MESSAGES]
        assert (part["read"], part["copied"], sum(part["rejected"].values())) == (4, 3, 1)
    await check_adopted(adoption.java_url, adoption.url, adoption.rejects)


async def test_a_final_run_tells_of_rows_that_no_run_has_read_and_again_reads_them(adoption: Adoption):
    await insert(adoption.java_url, MESSAGES, [message(1), message("x"), message(3)])
    await adoption.run()
    await run(adoption.java_url, f"UPDATE {MESSAGES} SET id = -7 WHERE id = 1")
    await insert(adoption.java_url, MESSAGES, [message(4)])
    await run(adoption.java_url, f"UPDATE {MESSAGES} SET id = -6 WHERE message_id = '4'")
    report, log = await adoption.run("--final", status=1)
    assert report["missed"] == {MESSAGES: 1}
    assert "1 rows more than were read: run it with --again" in log
    _, log = await adoption.run("--again", "--final", status=1)
    assert "exists: name another file" in log
    second = adoption.folder / "second"
    report, _ = await adoption.run("--again", "--final", "--rejects", str(second))
    part = report["tables"][MESSAGES]
    assert (part["read"], part["copied"], part["alreadyThere"], report["missed"]) == (4, 1, 2, {})
    assert len(rejected(adoption.rejects)) == 1
    await check_adopted(adoption.java_url, adoption.url, second)


async def test_what_was_done_in_imc_meanwhile_stays(adoption: Adoption):
    await insert(adoption.java_url, MESSAGES, [message(1), message(2), message(3)])
    await insert(adoption.java_url, NOTICES, [notice(1)])
    await adoption.run()
    await run(
        adoption.url,
        "UPDATE imc_message SET status = 0, content = '', recall_time = 7, last_log_id = 'x'"
        " WHERE message_id = 1",
        "UPDATE imc_notice SET status = 0, delete_time = 7, last_log_id = 'x'",
        "INSERT INTO imc_message VALUES"
        " (4, 'a', 'g', 'u', 'ours', 1790000000009, 0, NULL, 1, NULL, 'y', 'y')",
        "UPDATE imc_group SET message_total = 4, newest_message_id = 4, newest_create_time = 1790000000009",
    )
    await insert(adoption.java_url, MESSAGES, [message(4), message(5)])
    await run(adoption.java_url, recall_of([1, 2]), f"UPDATE {NOTICES} SET status = 0, delete_time = 8")
    report, _ = await adoption.run("--final")
    assert (report["tables"][MESSAGES]["duplicates"], report["tables"][MESSAGES]["retiredLater"]) == (1, 1)
    rows = await run(
        adoption.url, "SELECT message_id, content, recall_time, status, log_id, last_log_id FROM imc_message"
    )
    assert sorted(rows) == [
        (1, "", 7, 0, None, "x"),
        (2, "", 8, 0, None, None),
        (3, "hello", 0, 1, None, None),
        (4, "ours", 0, 1, "y", "y"),
        (5, "hello", 0, 1, None, None),
    ]
    assert list(await run(adoption.url, "SELECT delete_time, last_log_id FROM imc_notice")) == [(7, "x")]
    assert [each["row"]["message_id"] for each in rejected(adoption.rejects)] == ["4"]
    await check_groups(adoption.url)


async def test_a_text_that_is_no_utf8_is_rejected_alone(database_server_url: str, tmp_path: Path):
    async with (
        new_database(database_server_url) as url,
        java_database(database_server_url, "utf8mb3") as (java_url, reader_url),
    ):
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        await insert(
            java_url, MESSAGES, [message(1, content="\u7f51\u5173"), message(2), message(3, status=0)]
        )
        surrogate = "CAST(x'41EDA080' AS CHAR CHARACTER SET utf8mb3)"
        await run(java_url, f"UPDATE {MESSAGES} SET content = {surrogate} WHERE message_id <> '1'")
        report, _ = await Adoption(java_url, reader_url, url, tmp_path).run("--final")
        reason = "content is not valid: it must be text in UTF-8"
        assert report["tables"][MESSAGES]["rejected"] == {reason: 1}
        [document] = rejected(tmp_path / "rejects")
        assert (document["row"]["message_id"], document["row"]["content"]) == ("2", "Qe2ggA==")
        rows = await run(url, "SELECT message_id, content FROM imc_message ORDER BY message_id")
        assert list(rows) == [(1, "\u7f51\u5173"), (3, "")]


async def test_both_in_one_database(database_server_url: str, tmp_path: Path):
    async with new_database(database_server_url) as url, reader(url) as reader_url:
        await run(url, MAKE_MESSAGES, MAKE_NOTICES)
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        await insert(url, MESSAGES, [message(number, group_id=f"g{number}") for number in range(1, 50)])
        report, _ = await Adoption(url, reader_url, url, tmp_path).run("--final")
        assert report["tables"][MESSAGES]["copied"] == 49
        await check_adopted(url, url, tmp_path / "rejects")


async def test_into_sqlite(adoption: Adoption, sqlite_url: str):
    await insert(
        adoption.java_url, MESSAGES, [message(1, content="\0\u2028\U0001f600'"), message(1), message(2)]
    )
    await insert(adoption.java_url, NOTICES, [notice(1), notice(2)])
    adoption.url = sqlite_url
    await adoption.run()
    await run(
        adoption.java_url, recall_of([2]), f"UPDATE {NOTICES} SET status = 0, delete_time = 3 WHERE id = 1"
    )
    await adoption.run("--final")
    async with open_database(sqlite_url) as database:
        rows = await database.fetch_all(
            "SELECT message_id, content, status, log_id FROM imc_message ORDER BY 1"
        )
        assert rows == [(1, "\0\u2028\U0001f600'", 1, None), (2, "", 0, None)]
        rows = await database.fetch_all(
            "SELECT information_id, delete_time, status FROM imc_notice ORDER BY 1"
        )
        assert rows == [(1, 3, 0), (2, 0, 1)]
        assert await database.fetch_all("SELECT message_total, newest_message_id FROM imc_group") == [(2, 2)]


async def test_a_dry_run_tells_what_a_run_would_do_and_writes_nothing(adoption: Adoption):
    rows = [
        message(1),
        message(2),
        message(2),
        message(2, content="else"),
        message("x"),
        message(3, status=0),
    ]
    await insert(
        adoption.java_url, MESSAGES, [*rows, *(message(number) for number in range(10, 2100)), message(1)]
    )
    await insert(adoption.java_url, NOTICES, [notice(1), notice(" ")])
    dry, log = await adoption.run("--dry-run")
    assert "Nothing was written" in log
    assert "for example imc_chat_message, id 5, message_id 'x' of app_id 'a': message_id is not valid" in log
    assert not adoption.rejects.exists()
    assert await run(adoption.url, "SHOW TABLES LIKE 'imc_adoption'") == []
    assert list(await run(adoption.url, "SELECT COUNT(*) FROM imc_message")) == [(0,)]
    report, _ = await adoption.run()
    for part in report["tables"].values():
        del part["lastId"]
    for part in dry["tables"].values():
        del part["lastId"]
    assert dry["tables"] == report["tables"]
    assert dry["expectedSeconds"] > 0
    dry, _ = await adoption.run("--dry-run")
    assert [part["read"] for part in dry["tables"].values()] == [0, 0]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_ends_it_after_a_chunk_and_the_next_run_goes_on(
    adoption: Adoption, number: signal.Signals, status: int
):
    await insert(
        adoption.java_url,
        MESSAGES,
        (message(number, group_id="late" if number > 3000 else "early") for number in range(1, 9000)),
    )
    await run(adoption.url, "INSERT INTO imc_group VALUES ('a', 'late', 0, 0, 0)")
    async with adoption.process() as process:
        async with locked_rows(adoption.url, "imc_group WHERE app_id = 'a' AND group_id = 'late'"):
            waits = (
                "SELECT COUNT(*) FROM information_schema.processlist"
                " WHERE info LIKE 'INSERT INTO imc_group%' AND db = DATABASE()"
            )

            async def second_chunk_waits() -> bool:
                assert process.exit_code is None, process.log
                copied = await run(adoption.url, "SELECT COUNT(*) FROM imc_message")
                return copied[0][0] == 2000 and (await run(adoption.url, waits))[0][0] > 0

            await wait_until(second_chunk_waits)
            process.send_signal(number)
        assert await process.wait() == status
        assert "run it again, without --again, to go on" in process.log
        assert "Traceback" not in process.log
    report = orjson.loads((adoption.folder / "report").read_bytes())
    assert report["ended"] == "interrupted"
    assert report["tables"][MESSAGES]["read"] == 4000
    await adoption.run("--final")
    await check_adopted(adoption.java_url, adoption.url, adoption.rejects)


async def test_two_runs_at_once_do_not_disturb_each_other(adoption: Adoption):
    await insert(adoption.java_url, MESSAGES, (message(number) for number in range(1, 9000)))
    await run(adoption.url, "INSERT INTO imc_group VALUES ('a', 'g', 0, 0, 0)")
    async with contextlib.AsyncExitStack() as stack:
        processes: list[Process] = []
        async with locked_rows(adoption.url, "imc_group"):
            for waits_for in ("INSERT INTO imc_group", "UPDATE imc_adoption"):
                processes.append(await stack.enter_async_context(adoption.process()))

                async def waits(words: str = waits_for) -> bool:
                    assert processes[-1].exit_code is None, processes[-1].log
                    waiting = f"info LIKE '{words}%' AND db = DATABASE()"
                    number = await run(
                        adoption.url, f"SELECT COUNT(*) FROM information_schema.processlist WHERE {waiting}"
                    )
                    return number[0][0] == 1

                await wait_until(waits)
        assert [await process.wait() for process in processes] == [0, 1]
        assert "another imc-migrate adopt" in processes[1].log
    await adoption.run("--final")
    await check_adopted(adoption.java_url, adoption.url, adoption.rejects)


@pytest.mark.parametrize("is_committed", [False, True])
async def test_a_chunk_is_copied_once_whether_its_commit_was_lost_or_its_answer(
    adoption: Adoption, is_committed: bool, monkeypatch: pytest.MonkeyPatch
):
    await insert(adoption.java_url, MESSAGES, [message(1), message("x"), message("y"), message(2)])
    save, committed = Journal.save, Journal.committed
    failures = iter([True])

    async def fail_before(self: Journal, session: Session, progress: Progress) -> None:
        await save(self, session, progress)
        if progress.tables and next(failures, False):
            raise StoreUnavailable("2013 the connection is lost")

    def fail_after(self: Journal, progress: Progress) -> None:
        if progress.tables and next(failures, False):
            raise StoreUnavailable("2013 the connection is lost")
        committed(self, progress)

    if is_committed:
        monkeypatch.setattr(Journal, "committed", fail_after)
    else:
        monkeypatch.setattr(Journal, "save", fail_before)
    patience = Patience("a database", 5, {}, asyncio.Event())
    async with open_database(adoption.reader_url) as java, open_database(adoption.url) as ours:
        journal = Journal(ours, "java")
        await journal.begin()
        source, target = Source(JavaDatabase(java), patience), Target(ours, patience)
        passes = Passes(source, target, journal, RejectsFile(adoption.rejects), Display())
        await passes.copy(JAVA_MESSAGES)
        assert journal.progress.of(MESSAGES).copied == 2
    assert next(failures, None) is None
    assert len(rejected(adoption.rejects)) == 2
    await check_adopted(adoption.java_url, adoption.url, adoption.rejects)


async def test_what_stands_in_the_way_is_told_with_its_cure(adoption: Adoption, database_server_url: str):
    sources = {
        adoption.reader_url.replace("p%20w", "wrong"): "check the user and the password",
        adoption.reader_url.rpartition("/")[0] + "/none": "grant the user the rights",
        adoption.java_url.rpartition("/")[0] + "/none": "check the name of the database",
        adoption.url: "is this the database of the Java version?",
        f"mysql://u:secret@127.0.0.1:{free_port()}/d": "out of reach",
    }
    for source, words in sources.items():
        _, log = await adoption.run(status=1, IMC_ADOPT_FROM=source)
        assert words in log
        assert "Traceback" not in log
        assert "secret" not in log
    async with new_database(database_server_url) as empty:
        _, log = await adoption.run(status=1, IMC_DATABASE_URL=empty)
        assert "IMC's database: 1146" in log
        assert "run imc-migrate first" in log
        async with reader(adoption.url) as powerless:
            _, log = await adoption.run(status=1, IMC_DATABASE_URL=powerless)
            assert "grant the user the rights" in log
    _, log = await adoption.run("--rejects", str(adoption.folder), status=1)
    assert "name another file with --rejects" in log
    _, log = await adoption.run(status=2, IMC_ADOPT_FROM="mysql://nobody")
    assert "IMC_ADOPT_FROM: must be mysql://" in log
    _, log = await adoption.run("--from", "mysql://u:secret@h/d", status=2)
    assert "set IMC_ADOPT_FROM instead" in log


async def test_a_default_file_of_rejects_has_a_name_of_its_own(
    adoption: Adoption, monkeypatch: pytest.MonkeyPatch
):
    await insert(adoption.java_url, MESSAGES, [message("x")])
    monkeypatch.chdir(adoption.folder)
    variables = {"IMC_DATABASE_URL": adoption.url, "IMC_ADOPT_FROM": adoption.reader_url}
    log = ""
    for options in ([], [], ["--again"]):
        async with Process("imc-migrate", variables, arguments=["adopt", *options]) as process:
            assert await process.wait() == 0
            log = process.log
        await insert(adoption.java_url, MESSAGES, [message("y")])
    files = list(adoption.folder.glob("imc-adopt-rejects-*.ndjson"))
    assert sorted(len(rejected(file)) for file in files) == [2, 3]
    assert str(max(files, key=lambda file: file.stat().st_mtime_ns)) in log
