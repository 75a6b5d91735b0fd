"""The statements that read a page of a history, and count the history."""

from collections.abc import Sequence
from dataclasses import dataclass

from imc_contracts.schema import MESSAGES, NOTICES
from imc_contracts.views import STATUS_NORMAL
from imc_service.database.database import Row, Session, Values

from imc_query_api.queries.store import Store
from imc_query_api.queries.views import MESSAGE_COLUMNS, NOTICE_COLUMNS
from imc_query_api.queries.window import Window

_PAGE = """
    SELECT {columns}
    FROM (
        SELECT {key} FROM {through}
        WHERE {condition}
        ORDER BY create_time {direction}, {key} {direction}
        LIMIT ? OFFSET ?
    ) AS page
    LEFT JOIN {table} AS m ON m.{key} = page.{key}
"""
_COUNT = "SELECT COUNT(*) FROM {through} WHERE {condition}"


@dataclass(frozen=True, slots=True)
class Table:
    """The differences between messages and notices."""

    name: str
    key: str
    columns: str
    shown: str = ""
    """The condition for rows to be shown, if there is one."""


MESSAGE_TABLE = Table(MESSAGES, "message_id", MESSAGE_COLUMNS)
NOTICE_TABLE = Table(NOTICES, "information_id", NOTICE_COLUMNS, f"status = {STATUS_NORMAL}")


class History:
    """Rows selected by the values of their ``owner`` columns, ordered by time and id, read with ``index``.

    ``beside`` is an additional expression, the last column of each row. Its values precede the owner's.
    """

    def __init__(
        self,
        store: Store,
        table: Table,
        owner: Sequence[str],
        index: str,
        *,
        newest_first: bool = False,
        beside: str | None = None,
    ) -> None:
        conditions = [f"{column} = ?" for column in owner]
        conditions += [table.shown] if table.shown else []
        names = {
            "table": table.name,
            "through": store.through(table.name, index),
            "key": table.key,
            "columns": f"{table.columns}, {beside}" if beside else table.columns,
            "condition": " AND ".join([*conditions, "create_time >= ?", "create_time < ?"]),
            "direction": "DESC" if newest_first else "ASC",
        }
        self.page_sql = _PAGE.format_map(names)
        self.count_sql = _COUNT.format_map(names)

    async def rows(self, session: Session, owner: Values, window: Window, beside: Values = ()) -> list[Row]:
        """The rows of the window, in no particular order."""
        values = (*beside, *owner, window.start, window.end, window.size, window.offset)
        return await session.fetch_all(self.page_sql, values)

    async def total(self, session: Session, owner: Values, window: Window, seen: int) -> int | None:
        """Count the rows between the times of the window, of which ``seen`` are in the window.

        Call this after reading the rows, so that the total is never less than the rows shown.
        """
        if not window.with_total:
            return None
        if 0 < seen < window.size or (seen == 0 and window.offset == 0):
            return window.offset + seen  # the page reaches the end
        rows = await session.fetch_all(self.count_sql, (*owner, window.start, window.end))
        return int(rows[0][0])
