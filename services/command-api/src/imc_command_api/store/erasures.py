"""The erasures in the database: which are not done, what they are about, and what they have removed."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from imc_contracts.schema import ERASURES, MESSAGES, NOTICES
from imc_service.database.database import Database, Row, Session

from imc_command_api.store.removal import Removal
from imc_command_api.store.statements import read_sql, through

ROWS = 300
"""The most rows that one transaction removes."""

MOST_UNFINISHED = 1000

_FINISH = (
    f"UPDATE {ERASURES} SET stage = ?, finish_time = ? WHERE app_id = ? AND erasure_id = ? AND stage < ?"  # noqa: S608 - a name
)
_KEYS = {MESSAGES: "message_id", NOTICES: "information_id"}
_MESSAGE_COLUMNS = "message_id, {place}, create_time, recall_time, recall_cause"
_NOTICE_COLUMNS = "information_id, {place}"


class Stage(IntEnum):
    """What of an erasure is being worked on."""

    ROWS = 0
    LOG = 1
    DEAD_LETTERS = 2
    REMAINS = 3
    """Rows once more: of recalls that were under way."""
    DONE = 4

    @property
    def words(self) -> str:
        """As operators read it."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that is not done: of what a user wrote, of a group, or if both are None of an app.

    It is of what came before its own entry ``log_id`` in the log.
    """

    erasure_id: int
    app_id: str
    user_id: str | None
    group_id: str | None
    log_id: str
    stage: Stage


class Found(NamedTuple):
    """A message that is to be erased. ``place`` is where a later search begins."""

    message_id: int
    place: int
    create_time: int
    recall_time: int
    recall_cause: str | None


class Erasures:
    """Each method may be repeated, also by two processes at once.

    Raises `StoreUnavailable`, `StatementRefused`.
    """

    def __init__(self, database: Database, removal: Removal) -> None:
        """Reads files, so make it when a process starts."""
        self._database = database
        self._removal = removal
        self._note = read_sql("note_erased.sql", table=ERASURES)
        self.find = {
            (table, owner): _erasable(table, key, owner, is_sqlite=database.is_sqlite)
            for table, key in _KEYS.items()
            for owner in (None, "user", "group")
        }
        self.find_unfinished = read_sql("find_unfinished_erasures.sql", table=ERASURES)

    async def unfinished(self) -> list[Erasure]:
        """Those of all apps, some thousand at most. Nearly always there is none."""
        rows = await self._database.fetch_all(self.find_unfinished, (MOST_UNFINISHED,))
        return [Erasure(*rest, stage=Stage(stage)) for *rest, stage in rows]

    async def messages(self, erasure: Erasure, place: int) -> list[Found]:
        """Some messages that are to be erased, from a place on; those of one place may come again."""
        return [Found(*row) for row in await self._found(erasure, MESSAGES, place)]

    async def notices(self, erasure: Erasure, place: int) -> list[int]:
        """The ids of some notices that are to be erased, from the id ``place`` on."""
        return [row[0] for row in await self._found(erasure, NOTICES, place)]

    async def remove(
        self, erasure: Erasure, *, message_ids: Collection[int] = (), information_ids: Collection[int] = ()
    ) -> None:
        """Remove rows, and note how many, in one transaction. The gateways are told by the erasure itself."""

        async def work(session: Session) -> None:
            removed = await self._removal.remove_within(
                session,
                erasure.app_id,
                message_ids=message_ids,
                information_ids=information_ids,
                leaves_gap=False,
            )
            if removed.messages or removed.notices:
                await self._add(session, erasure, messages=removed.messages, notices=removed.notices)

        await self._database.commit(work)

    async def note(self, erasure: Erasure, *, log_entries: int = 0, dead_letters: int = 0) -> None:
        """Note what was removed: so many entries of the log at least, so many more dead letters."""
        async with self._database.session() as session:
            await self._add(session, erasure, log_entries=log_entries, dead_letters=dead_letters)

    async def reach(self, erasure: Erasure, stage: Stage, now_ms: int) -> None:
        """Note that a stage is reached; `Stage.DONE` at ``now_ms``."""
        finish_time = now_ms if stage is Stage.DONE else 0
        async with self._database.session() as session:
            values = (int(stage), finish_time, erasure.app_id, erasure.erasure_id, int(stage))
            await session.execute(_FINISH, values)

    async def _found(self, erasure: Erasure, table: str, place: int) -> list[Row]:
        owner = "user" if erasure.user_id is not None else "group" if erasure.group_id is not None else None
        sql = self.find[table, owner]
        subject = [name for name in (erasure.user_id, erasure.group_id) if name is not None]
        before = (erasure.log_id, erasure.log_id, erasure.erasure_id)
        return await self._database.fetch_all(sql, (erasure.app_id, *subject, place, *before, ROWS))

    async def _add(
        self,
        session: Session,
        erasure: Erasure,
        *,
        messages: int = 0,
        notices: int = 0,
        log_entries: int = 0,
        dead_letters: int = 0,
    ) -> None:
        key = (erasure.app_id, erasure.erasure_id)
        await session.execute(self._note, (messages, notices, log_entries, log_entries, dead_letters, *key))


def _erasable(table: str, key: str, owner: str | None, *, is_sqlite: bool) -> str:
    """The statement that finds rows of ``owner``, in the order of an index that begins with it."""
    # Notices are few, and their indexes by owner are not in the order of time alone.
    place = "create_time" if owner is not None and table == MESSAGES else key
    if owner is None:
        source = table if is_sqlite else f"{table} FORCE INDEX (PRIMARY)"
    else:
        source = through(table, f"{table}_{owner}", is_sqlite=is_sqlite)
    columns = _MESSAGE_COLUMNS if table == MESSAGES else _NOTICE_COLUMNS
    return read_sql(
        "find_erasable.sql",
        columns=columns.format(place=place),
        source=source,
        subject="" if owner is None else f"AND {owner}_id = ?",
        place=place,
        key=key,
    )
