"""The messages before and after one message of a group, at a cost that does not depend on their position."""

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.schema import MESSAGES
from imc_contracts.views import Message

from imc_query_api.queries.store import Store
from imc_query_api.queries.views import MESSAGE_COLUMNS, message_of, message_place

_TIME = f"""
    SELECT create_time FROM {MESSAGES} WHERE message_id = ? AND app_id = ? AND group_id = ?
"""  # noqa: S608 - names of tables, no values

# The separate condition on the time lets MariaDB use the index. For an equivalent comparison of pairs it
# would read the whole group.
_NEIGHBOURS = """
    SELECT {columns}
    FROM (
        SELECT message_id FROM {through}
        WHERE app_id = ? AND group_id = ?
            AND create_time {beyond}= ? AND (create_time {beyond} ? OR message_id {beyond} ?)
        ORDER BY create_time {direction}, message_id {direction}
        LIMIT ?
    ) AS page
    LEFT JOIN {table} AS m ON m.message_id = page.message_id
"""


class Neighbours:
    """Answers ``/chat/message/findBeforeByMessageId`` and ``findAfterByMessageId``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        names = {
            "columns": MESSAGE_COLUMNS,
            "table": MESSAGES,
            "through": store.through(MESSAGES, "imc_message_group"),
        }
        self.before_sql = _NEIGHBOURS.format(beyond="<", direction="DESC", **names)
        self.after_sql = _NEIGHBOURS.format(beyond=">", direction="ASC", **names)

    async def before(self, app_id: str, group_id: str, message_id: int, size: int) -> list[Message]:
        """The ``size`` messages of the group just older than this one, oldest first.

        Raises `Refused`: `MESSAGE_NOT_FOUND` if the group has no such message, `UNAVAILABLE`.
        """
        return await self._beyond(self.before_sql, app_id, group_id, message_id, size)

    async def after(self, app_id: str, group_id: str, message_id: int, size: int) -> list[Message]:
        """The ``size`` messages of the group just newer than this one, oldest first; raises as `before`."""
        return await self._beyond(self.after_sql, app_id, group_id, message_id, size)

    async def _beyond(
        self, sql: str, app_id: str, group_id: str, message_id: int, size: int
    ) -> list[Message]:
        rows = None
        async with self._store.session() as session:
            times = await session.fetch_all(_TIME, (message_id, app_id, group_id))
            if times:
                time = times[0][0]
                rows = await session.fetch_all(sql, (app_id, group_id, time, time, message_id, size))
        if rows is None:
            raise Refused(ErrorCode.MESSAGE_NOT_FOUND, "the group has no such message")
        rows.sort(key=message_place)
        return [message_of(row) for row in rows]
