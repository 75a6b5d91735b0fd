"""``/chat/message``: the history of a group, of a user, and around a message."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.views import Message, MessagePage
from imc_service.http import replies

from imc_query_api.http.parameters import BesideMessage, OfGroup, OfUser, OfUserInGroup, described, read
from imc_query_api.http.refusals import ANY_QUERY, BESIDE_MESSAGE
from imc_query_api.http.state import query_api

_Page = Envelope[MessagePage]
_List = Envelope[list[Message]]


def routes() -> APIRouter:
    """The calls about messages."""
    router = APIRouter(prefix="/chat/message", tags=["messages"], responses=ANY_QUERY)

    @router.get("/findByGroupId", response_model=_Page, openapi_extra=described(OfGroup))
    async def find_by_group_id(request: Request) -> Response:
        """The messages of a group, oldest first; recalled ones are there, without content."""
        asked = read(request, OfGroup)
        history = query_api(request).group_history
        return replies.success(await history.page(asked.app_id, asked.group_id, asked.window()))

    @router.get("/findByUserId", response_model=_Page, openapi_extra=described(OfUser))
    async def find_by_user_id(request: Request) -> Response:
        """The messages of a user in all groups, oldest first."""
        asked = read(request, OfUser)
        history = query_api(request).user_history
        return replies.success(await history.page(asked.app_id, asked.user_id, asked.window()))

    @router.get("/findByGroupIdAndUserId", response_model=_Page, openapi_extra=described(OfUserInGroup))
    async def find_by_group_id_and_user_id(request: Request) -> Response:
        """The messages of a user in one group, oldest first."""
        asked = read(request, OfUserInGroup)
        history = query_api(request).user_history
        return replies.success(
            await history.page_in_group(asked.app_id, asked.group_id, asked.user_id, asked.window())
        )

    @router.get(
        "/findBeforeByMessageId",
        response_model=_List,
        responses=BESIDE_MESSAGE,
        openapi_extra=described(BesideMessage),
    )
    async def find_before_by_message_id(request: Request) -> Response:
        """The `pageSize` messages of the group just older than this one, oldest first."""
        asked = read(request, BesideMessage)
        neighbours = query_api(request).neighbours
        return replies.success(
            await neighbours.before(asked.app_id, asked.group_id, asked.message_id, asked.page_size)
        )

    @router.get(
        "/findAfterByMessageId",
        response_model=_List,
        responses=BESIDE_MESSAGE,
        openapi_extra=described(BesideMessage),
    )
    async def find_after_by_message_id(request: Request) -> Response:
        """The `pageSize` messages of the group just newer than this one, oldest first."""
        asked = read(request, BesideMessage)
        neighbours = query_api(request).neighbours
        return replies.success(
            await neighbours.after(asked.app_id, asked.group_id, asked.message_id, asked.page_size)
        )

    return router
