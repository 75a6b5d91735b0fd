"""The command line of ``imc-migrate adopt``."""

import argparse
import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imc_contracts.schema import (
    GROUP_COLUMNS,
    GROUPS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)
from imc_service.database.database import open_database
from imc_service.database.url import MysqlServer, parse
from imc_service.standard_streams import say

from imc_command_api.migrations.adopt.display import Display
from imc_command_api.migrations.adopt.failures import AdoptionError, Interrupted, Patience
from imc_command_api.migrations.adopt.passes import Passes, Target
from imc_command_api.migrations.adopt.progress import Journal, Progress
from imc_command_api.migrations.adopt.reading import Source
from imc_command_api.migrations.adopt.rehearsal import Forecast, Rehearsal
from imc_command_api.migrations.adopt.rejects import RejectsFile
from imc_command_api.migrations.adopt.report import DryReport, Report
from imc_command_api.migrations.adopt.source import JavaDatabase
from imc_command_api.migrations.adopt.tables import JAVA_MESSAGES, JAVA_NOTICES
from imc_command_api.migrations.settings import MigrateSettings

PURPOSE = (
    "Copies the rows of a database of the Java imc-message-center into IMC's tables. Nothing is changed "
    "there, and the Java version may go on. It can be interrupted, and run again: it copies what is new. "
    "docs/java.md describes the steps."
)
_FAILED = 1
_INTERRUPTED = 128
"""Plus the number of the signal: as shells report a program that a signal ended."""

_SOURCE_SECONDS = 3600.0
"""How long one statement may read: the last pass looks at whole tables."""

_TARGET_SECONDS = 300.0
_TABLES = (JAVA_MESSAGES, JAVA_NOTICES)
_OURS = {MESSAGES: MESSAGE_VIEW_COLUMNS, NOTICES: NOTICE_VIEW_COLUMNS, GROUPS: GROUP_COLUMNS}
_NOT_JAVA = "is this the database of the Java version?"
_NOT_MIGRATED = "run imc-migrate first"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--from",
        dest="source",
        metavar="URL",
        help="database of the Java version, as mysql://USER@HOST:PORT/DATABASE; without it, and always if it "
        "has a password, the variable IMC_ADOPT_FROM",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--final",
        action="store_true",
        help="the Java version has stopped: also find what was recalled or deleted after it was copied, and "
        "check that no row is missing",
    )
    kind.add_argument(
        "--dry-run", action="store_true", help="read everything, tell what would happen, and write nothing"
    )
    parser.add_argument(
        "--again", action="store_true", help="read all rows again; those that are there are left as they are"
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        metavar="FILE",
        help="file for rows that can't be copied, one JSON document a line; by default that of the run "
        "before, or imc-adopt-rejects-DATE.ndjson in this folder",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON, too")


@dataclass(frozen=True)
class Order:
    """What is to be done."""

    source_url: str
    source_name: str
    """The same for each run from that database."""

    database_url: str
    wait_seconds: float
    final: bool
    dry_run: bool
    again: bool
    rejects: Path | None
    report: Path | None


def order_of(arguments: argparse.Namespace, settings: MigrateSettings) -> Order:
    """Read the command line and the settings; raises `ValueError`, which shows no password."""
    url: str | None = arguments.source
    if url is None and settings.adopt_from is not None:
        url = settings.adopt_from.get_secret_value()
    if url is None:
        raise ValueError("name the database of the Java version: --from URL, or IMC_ADOPT_FROM")
    try:
        server = parse(url)
    except ValueError as error:
        raise ValueError(f"--from {error}") from None
    if not isinstance(server, MysqlServer):
        raise ValueError("--from must be a database of MySQL or MariaDB: mysql://USER@HOST:PORT/DATABASE")
    if arguments.source is not None and server.password:
        raise ValueError(
            "--from has a password, which each user of this machine can read: set IMC_ADOPT_FROM instead"
        )
    place = server.unix_socket or ",".join(map(str, server.hosts))
    return Order(
        url,
        f"{place}/{server.database}",
        settings.database_url.get_secret_value(),
        settings.migrate_wait_seconds,
        arguments.final,
        arguments.dry_run,
        arguments.again,
        arguments.rejects,
        arguments.report,
    )


def run(order: Order) -> int:
    """Carry it out, and say what came of it; the exit status. Raises `AdoptionError`."""
    return asyncio.run(_Run(order).run())


class _Run:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._begun = time.monotonic()
        self._stop = asyncio.Event()
        self._signal = 0

    async def run(self) -> int:
        order = self._order
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number)
        async with AsyncExitStack() as stack:
            java = await stack.enter_async_context(
                open_database(order.source_url, size=2, deadline=_SOURCE_SECONDS)
            )
            ours = await stack.enter_async_context(
                open_database(order.database_url, size=2, deadline=_TARGET_SECONDS)
            )
            source = Source(JavaDatabase(java), self._patience("the Java version's database", _NOT_JAVA))
            target = Target(ours, self._patience("IMC's database", _NOT_MIGRATED))
            try:
                return await self._adopt(source, target)
            except Interrupted:
                return _INTERRUPTED + self._signal

    def _patience(self, which: str, cure: str) -> Patience:
        cures = {"1146": cure, "1054": cure, "no such": cure}  # a table or a column is missing
        return Patience(which, self._order.wait_seconds, cures, self._stop)

    async def _adopt(self, source: Source, target: Target) -> int:
        for table in _TABLES:
            await source.patience.of(lambda table=table: source.java.check(table))
        for name, columns in _OURS.items():
            sql = f"SELECT {', '.join(columns)} FROM {name} WHERE 1 = 0"  # noqa: S608 - names
            await target.patience.of(lambda sql=sql: target.database.fetch_all(sql))
        journal = Journal(target.database, self._order.source_name)
        if self._order.dry_run:
            return await self._rehearse(source, target, journal)
        return await self._copy(source, target, journal)

    def _end(self, number: signal.Signals) -> None:
        """End after this chunk. A second signal ends at once: a database may hang."""
        self._signal = number
        self._stop.set()
        asyncio.get_running_loop().remove_signal_handler(number)

    async def _rehearse(self, source: Source, target: Target, journal: Journal) -> int:
        progress = Progress()
        if not self._order.again:
            await target.patience.of(journal.look)
            progress = journal.progress
        rehearsal, forecast = Rehearsal(source, target, Display()), Forecast()
        for table in _TABLES:
            await rehearsal.look(table, progress, forecast)
        seconds = time.monotonic() - self._begun
        report = DryReport(self._order.source_name, forecast.tables, forecast.examples, seconds)
        self._tell(report)
        return 0

    async def _copy(self, source: Source, target: Target, journal: Journal) -> int:
        await target.patience.of(journal.begin)
        rejects = await self._rejects_file(target, journal)
        passes = Passes(source, target, journal, rejects, Display())
        report = Report(self._order.source_name, journal.progress, 0, "failed", self._order.final)
        status = _FAILED
        try:
            for table in _TABLES:
                await passes.copy(table)
            if self._order.final:
                for table in _TABLES:
                    await passes.retire(table)
                    report.missed.update(await passes.missed(table))
            report.ended, status = "done", _FAILED if report.missed else 0
        except Interrupted:
            report.ended, status = "interrupted", _INTERRUPTED + self._signal
        finally:
            report.progress, report.seconds = journal.progress, time.monotonic() - self._begun
            self._tell(report)
        return status

    async def _rejects_file(self, target: Target, journal: Journal) -> RejectsFile:
        """The file of the runs before, or another one, which is noted before anything is written to it."""
        progress = Progress() if self._order.again else journal.progress.copy()
        known = progress.rejects_file
        path = self._order.rejects or (Path(known) if known else None)
        path = await asyncio.to_thread(lambda: _free_name() if path is None else path.absolute())
        file = RejectsFile(path)
        if known == str(path):
            await asyncio.to_thread(file.check, progress.rejects_bytes)
            return file
        await asyncio.to_thread(file.claim)
        if known and progress.rejects_bytes:
            progress.earlier_rejects_files.append(known)
        progress.rejects_file, progress.rejects_bytes = str(path), 0
        await target.patience.of(lambda: journal.replace(progress))
        return file

    def _tell(self, report: Report | DryReport) -> None:
        say(*report.text())
        if self._order.report is not None:
            try:
                self._order.report.write_bytes(report.json())
            except OSError as error:
                raise AdoptionError(f"can't write {self._order.report}: {error.strerror}") from None


def _free_name() -> Path:
    """A name with today's date that no file in this folder has."""
    date = datetime.now(UTC).date().isoformat()
    names = (
        f"imc-adopt-rejects-{date}{suffix}.ndjson" for suffix in ("", *(f"-{n}" for n in range(2, 1000)))
    )
    return next(
        (Path.cwd() / name for name in names if not os.path.lexists(name)),
        Path.cwd() / "imc-adopt-rejects.ndjson",
    )
