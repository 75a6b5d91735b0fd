"""`imc-migrate adopt`: rows of the Java version become ours, whatever happens meanwhile."""

import asyncio
import itertools
import os
import stat
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from imc_testkit import java_database
from imc_testkit.databases import locked_rows, new_database, run
from imc_testkit.java_database import check_adopted, insert, message, notice, recall_of
from imc_testkit.processes import Process, run_script
from imc_testkit.servers import private_mariadb
from imc_testkit.waiting import wait_until

ROWS = int(os.environ.get("ADOPT_ROWS", "8000"))
"""Per character set. `ADOPT_ROWS=1000000` is the long form."""

MESSAGES, NOTICES = "imc_chat_message", "imc_notice_information"
FIRST_ID = 996_600_320_015_360_000
LATIN1 = "caf\u00e9 \u20ac ' \" \\ \\' %s \n\r\t\0 \x1a"
BMP = LATIN1 + " \u7f51\u5173 \u2028\u2029 \uffff"
CHARSETS = {
    "latin1": LATIN1,
    "utf8mb3 COLLATE utf8mb3_general_ci": BMP,
    "utf8mb4 COLLATE utf8mb4_general_ci": BMP + " \U0001f600",
}


@pytest.fixture(scope="module")
async def server_url() -> AsyncGenerator[str]:
    """A server of these tests alone: they look at who waits for locks."""
    async with private_mariadb() as server:
        yield server.url


def many_messages(text: str) -> Iterator[tuple[Any, ...]]:
    """Rows as they come, with one of each odd kind here and there, in groups named after their third."""
    odd: list[Callable[[int], tuple[Any, ...]]] = [
        lambda id_: message(id_, content=None, recall_time=None, status=None),
        lambda id_: message(id_, status=0, recall_time=5, recall_cause=text, content="taken back"),
        lambda id_: message(id_ - 50),  # a duplicate that differs
        lambda id_: message(FIRST_ID, content=text, create_time=7),  # one that is the same as the first
        lambda id_: message(id_, app_id="another"),
        lambda id_: message("no number"),
        lambda id_: message(f"0{id_}"),
        lambda id_: message("9223372036854775808"),
        lambda id_: message(id_, group_id=" g"),
        lambda id_: message(id_, user_id="u "),
        lambda id_: message(id_, app_id="two\nlines"),
        lambda id_: message(id_, group_id=""),
        lambda id_: message(id_, create_time=-1),
        lambda id_: message(id_, status=2),
        lambda id_: message(id_, type=-(2**31)),
        lambda id_: message(id_ - 50, app_id="another"),  # the same id in another app
        lambda id_: message(id_ - 50, app_id="A"),  # the same id in an app whose name differs in case alone
        lambda id_: message(id_, group_id="THIRD-0", user_id="U1"),
    ]
    yield message(FIRST_ID, content=text, create_time=7)
    for index in range(1, ROWS):
        id_ = FIRST_ID + index
        if index % 100 == 0:
            yield odd[index // 100 % len(odd)](id_)
        else:
            group_id = f"third-{3 * index // ROWS}"
            yield message(id_, group_id=group_id, user_id=f"u{index % 7}", content=f"{index} {text}")


def many_notices(text: str) -> Iterator[tuple[Any, ...]]:
    odd: list[Callable[[int], tuple[Any, ...]]] = [
        lambda id_: notice(id_, title=None, content=None, create_time=None, delete_time=None, status=None),
        lambda id_: notice(id_, jump_url="https://example.com/" + "x" * 3000),
        lambda id_: notice(id_, jump_url=" java\tscript:alert(1)"),
        lambda id_: notice(id_, status=0, delete_time=9),
        lambda id_: notice("7"),
    ]
    for index in range(ROWS // 20):
        id_ = FIRST_ID + index
        yield odd[index // 10 % 5](id_) if index % 10 == 0 else notice(id_, title=text, content=text)


def adoption(url: str, source: str, folder: Path, *arguments: str) -> Process:
    environment = {"IMC_DATABASE_URL": url, "IMC_ADOPT_FROM": source, "IMC_MIGRATE_WAIT_SECONDS": "10"}
    files = ("--rejects", str(folder / "rejects"), "--report", str(folder / "report"))
    return Process("imc-migrate", environment, arguments=("adopt", *files, *arguments))


async def adopt(url: str, source: str, folder: Path, *arguments: str, expected: int = 0) -> dict[str, Any]:
    async with adoption(url, source, folder, *arguments) as process:
        assert await process.wait(3600) == expected, process.log
    return orjson.loads((folder / "report").read_bytes()) if (folder / "report").exists() else {}


async def progress(url: str) -> dict[str, Any]:
    rows = await run(url, "SELECT state FROM imc_adoption")
    return orjson.loads(rows[0][0])["tables"] if rows else {}


def accounted(part: dict[str, Any]) -> int:
    return part["copied"] + part["alreadyThere"] + part["duplicates"] + sum(part["rejected"].values())


@asynccontextmanager
async def writing(url: str) -> AsyncGenerator[None]:
    """The Java version goes on: messages come, and some are recalled."""

    async def write() -> None:
        for number in itertools.count():
            id_ = FIRST_ID + 10_000_000 + number
            await insert(
                url, MESSAGES, [message(id_, group_id="meanwhile", app_id="a" if number % 3 else " a")]
            )
            if number % 10 == 0:
                await run(url, recall_of([FIRST_ID + number * 37]))

    task = asyncio.create_task(write())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def killed_while_group_is_locked(group: str, url: str, source: str, folder: Path) -> None:
    """Begin an adoption, and kill it while its transaction waits for the row of a group."""

    row = f"imc_group WHERE app_id = 'a' AND group_id = '{group}'"
    async with locked_rows(url, row), adoption(url, source, folder) as process:

        async def waits() -> bool:
            assert process.exit_code is None, process.log
            # Not information_schema.innodb_trx, which may tell what was so a moment ago.
            [(_, _, status)] = await run(url, "SHOW ENGINE INNODB STATUS")
            transactions = status.split("---TRANSACTION")
            return any("LOCK WAIT" in each and "INSERT INTO imc_group" in each for each in transactions)

        await wait_until(waits, 600, 0.05, what="the adoption to wait for a group")
        await process.kill()


@pytest.mark.timeout(7200 if ROWS > 100_000 else 300)
@pytest.mark.parametrize("charset", CHARSETS)
async def test_every_row_is_found_though_it_is_killed_and_the_java_version_writes_on(
    server_url: str, charset: str, tmp_path: Path
):
    text = CHARSETS[charset]
    async with (
        new_database(server_url) as url,
        java_database.java_database(server_url, charset) as (java_url, reader_url),
    ):
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        await insert(java_url, MESSAGES, many_messages(text))
        await insert(java_url, NOTICES, many_notices(text))
        # Messages that were sent to IMC already, in groups that the Java version has too.
        await run(
            url,
            *(
                f"INSERT INTO imc_group VALUES ('a', '{group}', 1, {id_}, 1790000000001)"
                for group, id_ in (("third-1", 1), ("third-2", 2))
            ),
            *(
                f"INSERT INTO imc_message VALUES ({id_}, 'a', '{group}', 'u', '', 1790000000001, 0, NULL, 1,"
                " NULL, 'x', 'x')"
                for group, id_ in (("third-1", 1), ("third-2", 2))
            ),
        )
        async with writing(java_url):
            await killed_while_group_is_locked("third-1", url, reader_url, tmp_path)
            first = (await progress(url))[MESSAGES]["read"]
            assert 0 < first < ROWS
            await killed_while_group_is_locked("third-2", url, reader_url, tmp_path)
            assert first < (await progress(url))[MESSAGES]["read"] < ROWS
            await adopt(url, reader_url, tmp_path)
        await run(
            java_url,
            recall_of(range(FIRST_ID + 300, FIRST_ID + 350)),
            f"UPDATE {NOTICES} SET status = 0, delete_time = 8 WHERE status = 1 AND id BETWEEN 30 AND 40",
        )
        checksums = await run(java_url, f"CHECKSUM TABLE {MESSAGES}, {NOTICES}")
        report = await adopt(url, reader_url, tmp_path, "--final")
        assert await run(java_url, f"CHECKSUM TABLE {MESSAGES}, {NOTICES}") == checksums
        found = await check_adopted(java_url, url, tmp_path / "rejects")
        for table, part in report["tables"].items():
            assert (
                accounted(part)
                == part["read"]
                == (await run(java_url, f"SELECT COUNT(*) FROM {table}"))[0][0]
            )
            assert part["copied"] + part["alreadyThere"] == found[table]
            assert len(part["rejected"]) >= 2
            assert part["retiredLater"] >= 8
        assert report["tables"][MESSAGES]["duplicates"] > 0
        assert stat.S_IMODE((tmp_path / "rejects").stat().st_mode) == 0o600
        # Nothing is left to do, and nothing is written twice.
        again = await adopt(url, reader_url, tmp_path, "--final")
        assert again["tables"] == report["tables"]
        assert await check_adopted(java_url, url, tmp_path / "rejects") == found
