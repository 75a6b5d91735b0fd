"""Messages of a group, of a user, or of a user in a group, by number and by id; and single messages."""

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.schema import MESSAGES
from imc_contracts.views import Message
from imc_service.database.database import Row, Session

from imc_query_api.queries.group_history import GroupHistory
from imc_query_api.queries.keyset_pages import Anchors, KeysetPage, KeysetPages, cut
from imc_query_api.queries.numbered_pages import NumberedPage, NumberedPages
from imc_query_api.queries.selection import Keyset, Owner, Times, Window
from imc_query_api.queries.store import Store
from imc_query_api.queries.tables import MESSAGE_TABLE
from imc_query_api.queries.views import MESSAGE_COLUMNS, message_of

ONE = f"SELECT {MESSAGE_COLUMNS} FROM {MESSAGES} AS m WHERE m.app_id = ? AND m.message_id = ?"  # noqa: S608


class Messages:
    """Lists messages oldest first. Recalled ones are listed without content."""

    def __init__(self, store: Store) -> None:
        self._store = store
        columns = MESSAGE_TABLE.indexes.keys()
        self._by_key = {each: KeysetPages(store, MESSAGE_TABLE, each) for each in columns}
        self._by_number = {each: NumberedPages(store, MESSAGE_TABLE, each) for each in columns}
        self._of_group = GroupHistory(store)
        self._anchors = Anchors(MESSAGE_TABLE)

    async def numbered_page(self, owner: Owner, window: Window) -> NumberedPage[Message]:
        """The page with this offset and size; raises `Refused` (`UNAVAILABLE`)."""
        if owner.user_id is None:
            return await self._of_group.page(owner, window)
        pages = self._by_number[owner.columns]
        async with self._store.session() as session:
            rows, total = await pages.read(session, owner, window)
        return NumberedPage(await pages.reader.listing(owner.app_id, rows, window.size), total)

    async def keyset_page(
        self, owner: Owner, keyset: Keyset, *, with_total: bool = False
    ) -> KeysetPage[Message]:
        """The page next to a message, or at the end.

        Raises `Refused`: `MESSAGE_NOT_FOUND` if the owner has no message with the id of the keyset,
        `UNAVAILABLE`.
        """
        pages = self._by_key[owner.columns]
        rows: list[Row] = []
        total = None
        async with self._store.session() as session:
            anchor = await self._anchors.find(session, owner, keyset)
            if anchor is not None:
                rows = await pages.rows(session, owner, keyset, anchor)
                total = await self._total(session, owner, keyset.times) if with_total else None
        if anchor is None:
            raise self._anchors.missing()
        rows, has_more = cut(rows, keyset)
        return KeysetPage(await pages.reader.listing(owner.app_id, rows, keyset.limit + 1), has_more, total)

    async def one(self, app_id: str, message_id: int) -> Message:
        """The message with this id; raises `Refused` (`MESSAGE_NOT_FOUND`, `UNAVAILABLE`)."""
        async with self._store.session() as session:
            rows = await session.fetch_all(ONE, (app_id, message_id))
        if not rows:
            raise Refused(ErrorCode.MESSAGE_NOT_FOUND, "the app has no such message")
        return message_of(rows[0])

    async def _total(self, session: Session, owner: Owner, times: Times) -> int:
        if owner.user_id is None:
            return await self._of_group.total(session, owner, times)
        return await self._by_number[owner.columns].count(session, owner, times)
