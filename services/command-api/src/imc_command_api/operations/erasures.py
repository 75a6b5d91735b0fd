"""How far erasures are, for operators."""

from typing import Any, cast

from imc_contracts.errors import unavailable
from imc_contracts.fields import INT64_MAX
from imc_contracts.operator_views import ErasureReport
from imc_contracts.schema import ERASURE_COLUMNS, ERASURE_PROGRESS_COLUMNS, ERASURES
from imc_service.database.database import Database, StatementRefused, StoreUnavailable
from imc_service.pages import Page

from imc_command_api.store.erasures import Stage
from imc_command_api.store.statements import read_sql

_COLUMNS = (*ERASURE_COLUMNS[:-1], *ERASURE_PROGRESS_COLUMNS)


class ErasureReports:
    """Reads them from the database."""

    def __init__(self, database: Database) -> None:
        """Reads a file, so make it when a process starts."""
        self._database = database
        self._sql = read_sql("find_erasures.sql", columns=", ".join(_COLUMNS), table=ERASURES)

    async def page(
        self, app_id: str, erasure_id: int | None, after: int | None, limit: int
    ) -> Page[ErasureReport, int]:
        """At most ``limit`` erasures of an app, the newest first; those older than ``after``; or only one.

        The place in this list is the id of an erasure.

        Raises `Refused` (`UNAVAILABLE`).
        """
        newest = INT64_MAX if after is None else after - 1
        least = 0 if erasure_id is None else erasure_id
        newest = newest if erasure_id is None else min(newest, erasure_id)
        try:
            rows = await self._database.fetch_all(self._sql, (app_id, newest, least, limit + 1))
        except (StoreUnavailable, StatementRefused):
            raise unavailable("the database is out of reach") from None
        reports = [_report(row) for row in rows[:limit]]
        return Page(reports, rows[limit - 1][0] if len(rows) > limit else None)


def _report(row: tuple[Any, ...]) -> ErasureReport:
    found = dict(zip(_COLUMNS, row, strict=True))
    return cast(
        ErasureReport,
        {
            "erasureId": str(found["erasure_id"]),
            "appId": found["app_id"],
            "userId": found["user_id"],
            "groupId": found["group_id"],
            "eraseTime": found["erase_time"],
            "finishTime": found["finish_time"],
            "stage": Stage(found["stage"]).words,
            "erasedMessages": found["messages"],
            "erasedNotices": found["notices"],
            "erasedLogEntries": found["log_entries"],
            "erasedDeadLetters": found["dead_letters"],
        },
    )
