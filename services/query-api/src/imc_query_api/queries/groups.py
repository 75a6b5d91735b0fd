"""The groups that a user has written in."""

from imc_contracts.schema import GROUPS, MESSAGES
from imc_contracts.views import Group
from imc_service.database.database import Row

from imc_query_api.queries.store import Store
from imc_query_api.queries.views import MESSAGE_COLUMNS, message_of, message_place

LEAP = 1_000
"""How many of the user's messages are read before the rest of a group is skipped."""

# With a plain DISTINCT, MariaDB skips messages only if users have many messages per group on average. For one
# user with many messages among many users with few, it reads every message.
_GROUPS = """
    SELECT {columns}, g.message_total, own.group_id, own.passed
    FROM (
        SELECT group_id, COUNT(*) AS passed
        FROM (
            SELECT group_id FROM {through}
            WHERE app_id = ? AND user_id = ? AND group_id > ?
            ORDER BY group_id
            LIMIT {leap}
        ) AS next
        GROUP BY group_id
        ORDER BY NULL
    ) AS own
    LEFT JOIN {groups} AS g ON g.app_id = ? AND g.group_id = own.group_id
    LEFT JOIN {messages} AS m ON m.message_id = g.newest_message_id
"""


class Groups:
    """Answers ``/chat/group/findGroupListByUserId``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sql = _GROUPS.format(
            columns=MESSAGE_COLUMNS,
            through=store.through(MESSAGES, "imc_message_user_group"),
            leap=LEAP,
            groups=GROUPS,
            messages=MESSAGES,
        )

    async def of_user(self, app_id: str, user_id: str) -> list[Group]:
        """The user's groups, newest activity first; raises `Refused` (`UNAVAILABLE`)."""
        rows: list[Row] = []
        passed, last = LEAP, ""
        async with self._store.session() as session:
            while passed == LEAP:
                found = await session.fetch_all(self.sql, (app_id, user_id, last, app_id))
                rows += found
                passed = sum(row[-1] for row in found)
                # The index and Python both order by code points.
                last = max((row[-2] for row in found), default=last)
        # The projection keeps both rows. If rows were deleted by hand, the list is shorter.
        rows = [row for row in rows if row[0] is not None]
        rows.sort(key=message_place, reverse=True)
        return [_group_of(row) for row in rows]


def _group_of(row: Row) -> Group:
    newest = message_of(row)
    return {
        "groupId": newest["groupId"],
        "newMessage": newest,
        "updateTime": newest["createTime"],
        "messageTotal": row[10],
    }
