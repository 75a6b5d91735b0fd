"""Pages of the messages of a user, in all groups or in one."""

from imc_contracts.views import MessagePage
from imc_service.database.database import Values

from imc_query_api.queries.history import MESSAGE_TABLE, History
from imc_query_api.queries.store import Store
from imc_query_api.queries.views import message_of, message_place
from imc_query_api.queries.window import Window


class UserHistory:
    """Answers ``/chat/message/findByUserId`` and ``findByGroupIdAndUserId``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._everywhere = History(store, MESSAGE_TABLE, ("app_id", "user_id"), "imc_message_user")
        self._in_group = History(
            store, MESSAGE_TABLE, ("app_id", "user_id", "group_id"), "imc_message_user_group"
        )

    async def page(self, app_id: str, user_id: str, window: Window) -> MessagePage:
        """The user's messages, oldest first; raises `Refused` (`UNAVAILABLE`)."""
        return await self._page(self._everywhere, (app_id, user_id), window)

    async def page_in_group(self, app_id: str, group_id: str, user_id: str, window: Window) -> MessagePage:
        """The user's messages in the group, oldest first; raises `Refused` (`UNAVAILABLE`)."""
        return await self._page(self._in_group, (app_id, user_id, group_id), window)

    async def _page(self, history: History, owner: Values, window: Window) -> MessagePage:
        async with self._store.session() as session:
            rows = await history.rows(session, owner, window)
            total = await history.total(session, owner, window, len(rows))
        rows.sort(key=message_place)
        return {"total": total, "pageMessageList": [message_of(row) for row in rows]}
