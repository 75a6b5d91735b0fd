"""``/chat/group``: the groups of a user."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.views import Group
from imc_service.http import replies

from imc_query_api.http.parameters import GroupsOfUser, described, read
from imc_query_api.http.refusals import ANY_QUERY
from imc_query_api.http.state import query_api


def routes() -> APIRouter:
    """The calls about groups."""
    router = APIRouter(prefix="/chat/group", tags=["groups"], responses=ANY_QUERY)

    @router.get(
        "/findGroupListByUserId",
        response_model=Envelope[list[Group]],
        openapi_extra=described(GroupsOfUser),
    )
    async def find_group_list_by_user_id(request: Request) -> Response:
        """The groups that a user has written in, newest activity first."""
        asked = read(request, GroupsOfUser)
        return replies.success(await query_api(request).groups.of_user(asked.app_id, asked.user_id))

    return router
