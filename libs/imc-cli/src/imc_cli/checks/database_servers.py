"""Whether a database is as IMC needs it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from imc_command_api.migrations.version import MigrationError, is_current
from imc_command_api.store.projection import Projection
from imc_contracts.schema import GROUPS, MESSAGES, NOTICES
from imc_service.database import url as database_url
from imc_service.database.database import Database, StatementRefused, StoreUnavailable, open_database
from imc_service.database.serving import QUESTIONS, standing
from imc_service.database.url import SqliteFile

from imc_cli.checks.findings import Finding, judged

ANSWER_SECONDS = 10.0
_OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}
_WRITERS = ("command-api", "projector")
_VERSION = "SELECT VERSION(), @@collation_connection, @@time_zone"
_COLLATIONS = (
    "SELECT TABLE_NAME, TABLE_COLLATION FROM information_schema.TABLES "  # noqa: S608 - names
    f"WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN ('{MESSAGES}', '{NOTICES}', '{GROUPS}')"
)
_COLLATION = "utf8mb4_bin"


async def look_at(url: str, processes: Sequence[str]) -> AsyncGenerator[Finding]:
    """What is found of the database at ``url``, and whether it lets each of the ``processes`` work."""
    server = database_url.parse(url)
    if isinstance(server, SqliteFile):
        part = f"database {Path(server.path).name}"
        # To open it would make it.
        if not await asyncio.to_thread(Path(server.path).is_file):
            yield Finding(part, "reach", "wrong", f"there is no file {server.path}", "`imc migrate` makes it")
            return
    else:
        part = f"database {server.unix_socket or ','.join(map(str, server.hosts))}/{server.database}"
    async with open_database(url, size=1, deadline=ANSWER_SECONDS) as database:
        objection = await _objection(database)
        yield judged(part, "reach", objection, "it answers", "is IMC_DATABASE_URL right, and does it run?")
        if objection is not None:
            return
        if not database.is_sqlite:
            for finding in await _server(part, database):
                yield finding
        migrations = await asyncio.to_thread(_migrations, part, url)
        yield migrations
        if migrations.level == "ok":
            async for finding in _rights(part, database, processes):
                yield finding


async def look_at_replica(url: str) -> AsyncGenerator[Finding]:
    """What is found of the replica at ``url``, which answers queries alone."""
    async with open_database(url, size=1, deadline=ANSWER_SECONDS, may_be_read_only=True) as database:
        objection = await _objection(database)
        cure = "is IMC_READ_DATABASE_URL right, and does it run? The primary answers queries meanwhile"
        yield judged("replica", "reach", objection, "it answers", cure)
        if objection is None and not database.is_sqlite:
            yield await _version("replica", database)


async def _objection(database: Database) -> str | None:
    """Why the database does not answer, or does not let a session set what statements rely on."""
    try:
        await database.fetch_all("SELECT 1")
    except (StoreUnavailable, StatementRefused) as error:
        return str(error)
    return None


async def _server(part: str, database: Database) -> list[Finding]:
    answer: list[tuple[str, str]] = []
    for question in QUESTIONS:
        answer += [(str(name), str(value)) for name, value in await database.fetch_all(question)]
    found = standing(answer, may_be_read_only=False)
    collations = await database.fetch_all(_COLLATIONS)
    others = [f"{name} is {collation}" for name, collation in collations if collation != _COLLATION]
    words = "; ".join(others) or None
    return [
        await _version(part, database),
        judged(
            part, "writes", found.objection, "it takes writes", "IMC_DATABASE_URL must lead to the primary"
        ),
        judged(part, "collation", words, _COLLATION, f"convert the tables to {_COLLATION}"),
    ]


async def _version(part: str, database: Database) -> Finding:
    [(version, collation, zone)] = await database.fetch_all(_VERSION)
    kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
    oldest = _OLDEST[kind]
    shown = f"{kind} {version}; sessions have {collation}, {zone}"
    objection = None if of_version(version) >= oldest else f"{kind} {version} is too old"
    return judged(part, "version", objection, shown, "IMC needs MariaDB 10.6 or newer, or MySQL 8 or newer")


def of_version(text: str) -> tuple[int, ...]:
    """The first two numbers of a version, such as ``10.11.6-MariaDB``."""
    # Some answer with a prefix for clients that know MySQL alone.
    return tuple(map(int, re.findall(r"\d+", text.removeprefix("5.5.5-"))[:2]))


def _migrations(part: str, url: str) -> Finding:
    try:
        objection = None if is_current(url) else "the tables are missing, or of an older release"
    except MigrationError as error:
        objection = str(error)
    return judged(
        part, "tables", objection, "up to date", "run `imc migrate`, as a user that may change tables"
    )


async def _rights(part: str, database: Database, processes: Sequence[str]) -> AsyncGenerator[Finding]:
    cure = "give this user the rights of its process: deploy/mariadb/users.sql"
    for process in processes:
        if process in _WRITERS:
            trouble = await Projection(database).trouble()
            yield judged(part, f"rights of {process}", trouble, "it may do its work", cure)
        elif process == "query-api":
            try:
                from imc_query_api.queries.store import Store
            except ModuleNotFoundError:
                continue
            trouble = await Store(database).ready()
            yield judged(part, f"rights of {process}", trouble, "it may do its work", cure)
