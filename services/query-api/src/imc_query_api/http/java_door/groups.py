"""``/chat/group``: the groups of a user."""

from fastapi import APIRouter, Request, Response
from imc_contracts.views import Group

from imc_query_api.http.java_door import calls
from imc_query_api.http.java_door.parameters import GroupsOfUser
from imc_query_api.http.listings import listing_reply
from imc_query_api.http.state import query_api

_CALL = "/chat/group/findGroupListByUserId"


def add_routes(router: APIRouter) -> None:
    """Add the call about groups."""
    description = "The groups that a user has written in, newest activity first."
    call = calls.JavaCall(_CALL, "javaFindGroupsByUserId", description, GroupsOfUser, list[Group])
    calls.add(router, call, _groups)


async def _groups(request: Request) -> Response:
    asked = calls.read(request, GroupsOfUser)
    listing = await query_api(request).reads.read(
        lambda queries: queries.groups.all_of_user(asked.app_id, asked.user_id), asked.app_id
    )
    return listing_reply(listing, lambda items: items)
