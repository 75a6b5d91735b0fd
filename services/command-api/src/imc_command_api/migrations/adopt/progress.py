"""How far an adoption is: a row of the table ``imc_adoption``, changed in the transactions that copy rows."""

import asyncio
import contextlib
import secrets
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files

from imc_service.database.database import Database, Session, StatementRefused, StoreUnavailable
from pydantic import TypeAdapter

from imc_command_api.migrations.adopt.failures import AdoptionError
from imc_command_api.migrations.adopt.gaps import Gap

_MYSQL_OPTIONS = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
_SELECT = "SELECT revision, state FROM imc_adoption WHERE source = ?"
_INSERT = "INSERT INTO imc_adoption (source, revision, state) VALUES (?, ?, ?)"
_CLAIM = "UPDATE imc_adoption SET revision = ? WHERE source = ? AND revision = ?"
_SAVE = "UPDATE imc_adoption SET state = ? WHERE source = ?"


@dataclass
class TableProgress:
    """How far one table of the Java version is copied, and what became of its rows, over all runs."""

    last_id: int | None = None
    """The greatest ``id`` that was read; None before the first row."""

    gaps: list[Gap] = field(default_factory=list[Gap])
    read: int = 0
    copied: int = 0
    already_there: int = 0
    duplicates: int = 0
    retired_later: int = 0
    """Rows that were recalled or deleted after they were copied."""

    rejected: Counter[str] = field(default_factory=Counter[str])
    """By reason."""


@dataclass
class Progress:
    """The state of one adoption."""

    tables: dict[str, TableProgress] = field(default_factory=dict[str, TableProgress])
    rejects_file: str | None = None
    rejects_bytes: int = 0
    earlier_rejects_files: list[str] = field(default_factory=list[str])

    def of(self, table: str) -> TableProgress:
        """The progress of a table."""
        return self.tables.setdefault(table, TableProgress())

    def copy(self) -> "Progress":
        """One that can be changed without changing this one."""
        return read_progress(self.document())

    def document(self) -> str:
        """All of it as JSON."""
        return _PROGRESS.dump_json(self).decode()


_PROGRESS = TypeAdapter(Progress)


def read_progress(document: str) -> Progress:
    """The progress that `Progress.document` has written."""
    return _PROGRESS.validate_json(document)


class Journal:
    """Keeps the progress of the adoption from one source. Methods raise `StoreUnavailable`."""

    def __init__(self, database: Database, source: str) -> None:
        """``source`` names the database of the Java version: the same one goes on, another one begins."""
        self._database = database
        self._source = source
        self._revision = ""
        self._attempted = ""
        self.progress = Progress()
        """As committed."""

    async def begin(self) -> None:
        """Read the progress, the beginning of a run that writes; makes the table if it is missing."""
        if not await self._is_made():
            options = "" if self._database.is_sqlite else _MYSQL_OPTIONS
            sql = await asyncio.to_thread(_read_sql, "create_adoption.sql")
            async with self._database.session() as session:
                await session.execute(sql.format(options=options))
        if not await self.load():
            values = (self._source, secrets.token_hex(16), Progress().document())
            with contextlib.suppress(StatementRefused):  # another run was faster
                async with self._database.session() as session:
                    await session.execute(_INSERT, values)
            await self.load()

    async def look(self) -> None:
        """Read the progress, if there is any, for a run that writes nothing."""
        if await self._is_made():
            await self.load()

    async def load(self) -> bool:
        """Read the progress; whether there is any."""
        rows = await self._database.fetch_all(_SELECT, (self._source,))
        if rows:
            self._revision, document = rows[0]
            self.progress = read_progress(document)
        return bool(rows)

    async def _is_made(self) -> bool:
        try:
            await self._database.fetch_all(_SELECT, (self._source,))
        except StoreUnavailable as error:
            if any(sign in str(error) for sign in ("1146 ", "no such table")):
                return False
            raise
        return True

    async def replace(self, progress: Progress) -> None:
        """Write ``progress`` in a transaction of its own; raises `AdoptionError` too."""
        async with self._database.transaction() as session:
            await self.claim(session)
            await self.save(session, progress)
        self.committed(progress)

    async def load_again(self) -> bool:
        """Read the progress after a failure; whether the transaction that failed was committed.

        Raises `AdoptionError` if another run has changed it.
        """
        before = self._revision
        await self.load()
        if self._revision not in (before, self._attempted):
            raise _another_run()
        return self._revision == self._attempted

    async def claim(self, session: Session) -> None:
        """Begin a change in a transaction; another run waits until it is committed, then fails.

        Raises `AdoptionError` if another run has changed the progress.
        """
        self._attempted = secrets.token_hex(16)
        if await session.execute(_CLAIM, (self._attempted, self._source, self._revision)) != 1:
            raise _another_run()

    async def save(self, session: Session, progress: Progress) -> None:
        """Write the progress at the end of that transaction."""
        await session.execute(_SAVE, (progress.document(), self._source))

    def committed(self, progress: Progress) -> None:
        """Say that the transaction was committed."""
        self._revision = self._attempted
        self.progress = progress


def _read_sql(name: str) -> str:
    return files("imc_command_api.migrations.adopt").joinpath("sql", name).read_text("utf-8")


def _another_run() -> AdoptionError:
    return AdoptionError(
        "another imc-migrate adopt from the same database is under way: wait until it has ended"
    )
