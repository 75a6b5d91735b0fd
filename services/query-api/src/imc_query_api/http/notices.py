"""``/notice/information``: the notices of a group, of a user, or both."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.views import NoticePage
from imc_service.http import replies

from imc_query_api.http.parameters import OfGroup, OfUser, OfUserInGroup, described, read
from imc_query_api.http.refusals import ANY_QUERY
from imc_query_api.http.state import query_api

_Page = Envelope[NoticePage]


def routes() -> APIRouter:
    """The calls about notices."""
    router = APIRouter(prefix="/notice/information", tags=["notices"], responses=ANY_QUERY)

    @router.get("/findByGroupId", response_model=_Page, openapi_extra=described(OfGroup))
    async def find_notices_by_group_id(request: Request) -> Response:
        """The notices of a group, newest first, without deleted ones."""
        asked = read(request, OfGroup)
        notices = query_api(request).notices
        return replies.success(await notices.of_group(asked.app_id, asked.group_id, asked.window()))

    @router.get("/findByUserId", response_model=_Page, openapi_extra=described(OfUser))
    async def find_notices_by_user_id(request: Request) -> Response:
        """The notices that a user published, newest first, without deleted ones."""
        asked = read(request, OfUser)
        notices = query_api(request).notices
        return replies.success(await notices.of_user(asked.app_id, asked.user_id, asked.window()))

    @router.get("/findByGroupIdAndUserId", response_model=_Page, openapi_extra=described(OfUserInGroup))
    async def find_notices_by_group_id_and_user_id(request: Request) -> Response:
        """The notices that a user published in one group, newest first, without deleted ones."""
        asked = read(request, OfUserInGroup)
        notices = query_api(request).notices
        return replies.success(
            await notices.of_user_in_group(asked.app_id, asked.group_id, asked.user_id, asked.window())
        )

    return router
