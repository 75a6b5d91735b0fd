"""The groups of a user or of an app, newest activity first.

The activity of a group is its newest message: groups are ordered by the time and id of that message. A page
starts after a message. So pages don't overlap: a group that gets a message moves to the front, where a
client finds it by asking for the first page again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.schema import GROUPS, MESSAGES
from imc_contracts.views import Group, Message
from imc_service.database.database import Row, Session

from imc_query_api.queries.keyset_pages import AFTER_ALL, Anchor, KeysetPage
from imc_query_api.queries.listing import Listing, ListingReader, read_in_batches
from imc_query_api.queries.statements import read_sql
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE

LEAP = 1_000
"""How many of the user's messages are read before the rest of a group is skipped."""

_ANCHOR = f"SELECT create_time FROM {MESSAGES} WHERE app_id = ? AND message_id = ?"  # noqa: S608


class GroupRow(NamedTuple):
    """A group whose newest message is not read yet."""

    create_time: int
    message_id: int
    size: int
    """The bytes of the content of that message."""

    group_id: str
    message_total: int


class Groups:
    """Lists groups, each with its newest message."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reader = ListingReader(store, MESSAGE_TABLE)
        names = {"size": store.byte_length("m.content"), "groups": GROUPS, "messages": MESSAGES}
        # With a plain DISTINCT, MariaDB skips messages only if users have many messages per group on average.
        # For one user with many messages among many users with few, it reads every message.
        by_user = store.through(MESSAGES, "imc_message_user_group")
        self.of_user_sql = read_sql("groups_of_user.sql", indexed_messages=by_user, leap=str(LEAP), **names)
        by_activity = store.through(GROUPS, "imc_group_activity")
        self.of_app_sql = read_sql("groups_of_app.sql", indexed_groups=by_activity, **names)

    async def all_of_user(self, app_id: str, user_id: str) -> Listing[Group]:
        """All groups that the user has written in; raises `Refused` (`UNAVAILABLE`)."""
        async with self._store.session() as session:
            rows = await self._of_user(session, app_id, user_id)
        return await self._listing(app_id, rows)

    async def page(
        self, app_id: str, user_id: str | None, after: int | None, limit: int
    ) -> KeysetPage[Group]:
        """The groups that the user has written in, or all of the app, whose activity is before a message.

        ``after`` is the id of that message: the newest one of the last group of the page before.
        Raises `Refused` (`MESSAGE_NOT_FOUND`, `UNAVAILABLE`).
        """
        rows: list[GroupRow] = []
        async with self._store.session() as session:
            anchor = await _find_anchor(session, app_id, after)
            if anchor is not None and user_id is not None:
                found = await self._of_user(session, app_id, user_id)
                rows = [row for row in found if row[:2] < anchor][: limit + 1]
            elif anchor is not None:
                rows = await self._of_app(session, app_id, anchor, limit + 1)
        if anchor is None:
            raise Refused(ErrorCode.MESSAGE_NOT_FOUND, "the app has no message with the id given as after")
        return KeysetPage(await self._listing(app_id, rows[:limit]), len(rows) > limit)

    async def _of_user(self, session: Session, app_id: str, user_id: str) -> list[GroupRow]:
        rows: list[GroupRow] = []
        passed, last = LEAP, ""
        while passed == LEAP:
            found = await session.fetch_all(self.of_user_sql, (app_id, user_id, last, app_id))
            rows += [_group_row(row) for row in found if row[0] is not None]
            passed = sum(row[-1] for row in found)
            # The index and Python both order by code points.
            last = max((row[3] for row in found), default=last)
        rows.sort(reverse=True)
        return rows

    async def _of_app(self, session: Session, app_id: str, anchor: Anchor, limit: int) -> list[GroupRow]:
        values = (app_id, anchor.create_time, *anchor, limit)
        found = await session.fetch_all(self.of_app_sql, values)
        return sorted((_group_row(row) for row in found), reverse=True)

    async def _listing(self, app_id: str, rows: Sequence[GroupRow]) -> Listing[Group]:
        async def read(batch: Sequence[GroupRow]) -> list[Group]:
            messages = await self.reader.by_key(app_id, [row.message_id for row in batch])
            # The projection keeps a group and its newest message. One deleted by hand is left out.
            return [_group_of(row, messages[row.message_id]) for row in batch if row.message_id in messages]

        return await read_in_batches(rows, read)


def _group_of(row: GroupRow, newest: Message) -> Group:
    return {
        "groupId": row.group_id,
        "newMessage": newest,
        "updateTime": newest["createTime"],
        "messageTotal": row.message_total,
    }


def _group_row(row: Row) -> GroupRow:
    return GroupRow(row[0], row[1], row[2] or 0, row[3], row[4])


async def _find_anchor(session: Session, app_id: str, message_id: int | None) -> Anchor | None:
    if message_id is None:
        return AFTER_ALL
    rows = await session.fetch_all(_ANCHOR, (app_id, message_id))
    return Anchor(rows[0][0], message_id) if rows else None
