"""Finds the rows of an app that are older than some time, without reading the others.

No index has the rows of an app by time. One has those of a group: the groups are walked, and the oldest row
of each is the first in that index. So an app costs a few seeks a group, however many rows it has. Rows count
by the time that clients see, whatever their ids are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from imc_contracts.schema import GROUPS, MESSAGES, NOTICES, PROJECTIONS
from imc_contracts.views import STATUS_NORMAL, STATUS_RETIRED
from imc_service.database.database import Database

from imc_command_api.store.statements import read_sql, through

Place = tuple[int, int]
"""The place of a row among those of its group: its time and its id."""

BEGIN: Place = (-1, -1)
"""The place before all rows."""


class Kind(Enum):
    """What rows are. Notices and deleted notices lie apart in their index."""

    MESSAGE = "message"
    NOTICE = "notice"
    DELETED_NOTICE = "deleted notice"


@dataclass(frozen=True, slots=True)
class GroupAges:
    """Times of a group, in Unix milliseconds. ``oldest`` is that of one kind, ``newest`` that of all kinds.

    None if there is no row.
    """

    group_id: str
    oldest: int | None
    newest: int | None


class DueRows:
    """Methods raise `StoreUnavailable` and `StatementRefused`. All but `apps` are about one app."""

    def __init__(self, database: Database) -> None:
        """Reads files, so make it when a process starts."""
        self._database = database
        is_sqlite = database.is_sqlite
        self.apps_sql = read_sql(
            "apps_with_rows.sql", projections=PROJECTIONS, groups=GROUPS, notices=NOTICES
        )
        self.ages_sql = {kind: _ages_sql(kind, is_sqlite=is_sqlite) for kind in Kind}
        self.due_sql = {kind: _due_sql(kind, is_sqlite=is_sqlite) for kind in Kind}

    async def apps(self, after: str, limit: int) -> list[str]:
        """The first apps after ``after`` that have rows, in the order of their ids."""
        bounds = (after, limit)
        rows = await self._database.fetch_all(self.apps_sql, (*bounds, *bounds, *bounds, limit))
        return [row[0] for row in rows]

    async def groups(self, kind: Kind, app_id: str, after: str, limit: int) -> list[GroupAges]:
        """The first groups after ``after`` that may have rows of a kind, in the order of their ids."""
        rows = await self._database.fetch_all(self.ages_sql[kind], (app_id, after, limit))
        ages = [
            GroupAges(group_id, oldest, max((time for time in newest if time is not None), default=None))
            for group_id, oldest, *newest in rows
        ]
        # A derived table has no order. Python compares as the database does, by code point.
        return sorted(ages, key=lambda each: each.group_id)

    async def due(
        self, kind: Kind, app_id: str, group_id: str, after: Place, before_ms: int, limit: int
    ) -> Sequence[Place]:
        """The places of the first rows of a group after ``after`` that are older than ``before_ms``."""
        return await self._database.fetch_all(
            self.due_sql[kind], (app_id, group_id, after[0], before_ms, *after, limit)
        )


def _table_of(kind: Kind) -> tuple[str, str, str]:
    """The table of a kind, its key, and the index with the rows of a group by time."""
    if kind is Kind.MESSAGE:
        return MESSAGES, "message_id", "imc_message_group"
    return NOTICES, "information_id", "imc_notice_group"


def _condition(kind: Kind, alias: str = "") -> str:
    match kind:
        case Kind.MESSAGE:
            return "1 = 1"
        case Kind.NOTICE:
            return f"{alias}status = {STATUS_NORMAL}"
        case Kind.DELETED_NOTICE:
            return f"{alias}status = {STATUS_RETIRED}"


def _ages_sql(kind: Kind, *, is_sqlite: bool) -> str:
    def time(of: Kind, direction: str) -> str:
        table, _, index = _table_of(of)
        return read_sql(
            "time_at_an_end.sql",
            rows=through(f"{table} AS m", index, is_sqlite=is_sqlite),
            condition=_condition(of, "m."),
            direction=direction,
        )

    return read_sql(
        "ages_of_message_groups.sql" if kind is Kind.MESSAGE else "ages_of_notice_groups.sql",
        groups=GROUPS,
        through_key="" if is_sqlite else "FORCE INDEX (PRIMARY)",
        notices=through(NOTICES, "imc_notice_group", is_sqlite=is_sqlite),
        oldest=time(kind, "ASC"),
        newest_notice=time(Kind.NOTICE, "DESC"),
        newest_deleted_notice=time(Kind.DELETED_NOTICE, "DESC"),
    )


def _due_sql(kind: Kind, *, is_sqlite: bool) -> str:
    table, key, index = _table_of(kind)
    rows = through(table, index, is_sqlite=is_sqlite)
    return read_sql("due_rows.sql", rows=rows, key=key, condition=_condition(kind))
