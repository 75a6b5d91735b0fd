"""Pages of the notices of a group, of a user, or of both, without deleted ones."""

from imc_contracts.views import NoticePage
from imc_service.database.database import Values

from imc_query_api.queries.history import NOTICE_TABLE, History
from imc_query_api.queries.store import Store
from imc_query_api.queries.views import notice_of, notice_place
from imc_query_api.queries.window import Window


class Notices:
    """Answers ``/notice/information``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._of_group = _history(store, ("app_id", "group_id"), "imc_notice_group")
        self._of_user = _history(store, ("app_id", "user_id"), "imc_notice_user")
        self._of_both = _history(store, ("app_id", "user_id", "group_id"), "imc_notice_user_group")

    async def of_group(self, app_id: str, group_id: str, window: Window) -> NoticePage:
        """The notices of the group, newest first; raises `Refused` (`UNAVAILABLE`)."""
        return await self._page(self._of_group, (app_id, group_id), window)

    async def of_user(self, app_id: str, user_id: str, window: Window) -> NoticePage:
        """The notices that the user published, newest first; raises `Refused` (`UNAVAILABLE`)."""
        return await self._page(self._of_user, (app_id, user_id), window)

    async def of_user_in_group(self, app_id: str, group_id: str, user_id: str, window: Window) -> NoticePage:
        """The notices that the user published in the group, newest first; raises as `of_user`."""
        return await self._page(self._of_both, (app_id, user_id, group_id), window)

    async def _page(self, history: History, owner: Values, window: Window) -> NoticePage:
        async with self._store.session() as session:
            rows = await history.rows(session, owner, window)
            total = await history.total(session, owner, window, len(rows))
        rows.sort(key=notice_place, reverse=True)
        return {"total": total, "pageInformationList": [notice_of(row) for row in rows]}


def _history(store: Store, owner: tuple[str, ...], index: str) -> History:
    return History(store, NOTICE_TABLE, owner, index, newest_first=True)
