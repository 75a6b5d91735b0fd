"""The queries of v1, ``/v1/queries``. Pages are continued with an id of the page before."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.views import Group, GroupPage, Message, MessagePage, Notice, NoticePage
from imc_service.http import openapi, replies

from imc_query_api.http.listings import listing_reply
from imc_query_api.http.parameters import Parameters, described, read
from imc_query_api.http.state import query_api
from imc_query_api.http.v1.parameters import (
    PARAMETER_RULES,
    OneMessage,
    PageOfGroups,
    PageOfMessages,
    PageOfNotices,
)

_Endpoint = Callable[[Request], Awaitable[Response]]

_NO_MESSAGE = "40401: there is no such message."
_NO_NOTICE = "40402: there is no such notice."


def routes() -> APIRouter:
    """All queries of v1."""
    router = APIRouter(prefix="/v1/queries", responses=openapi.v1_replies(openapi.QUERY))

    def query(
        path: str, operation_id: str, model: type[Parameters], data: Any, *, missing: str
    ) -> Callable[[_Endpoint], _Endpoint]:
        return router.get(
            path,
            operation_id=operation_id,
            response_model=Envelope[data],
            responses=openapi.v1_replies({404: missing}),
            openapi_extra=described(model, PARAMETER_RULES),
        )

    @query("/messages", "queryMessages", PageOfMessages, MessagePage, missing=_NO_MESSAGE)
    async def messages(request: Request) -> Response:
        """Messages of a group, of a user, or of a user in a group, oldest first.

        Without `before` and `after`, the newest ones. Recalled messages are listed without content.
        """
        asked = read(request, PageOfMessages, PARAMETER_RULES)
        page = await query_api(request).messages.keyset_page(
            asked.owner(), asked.keyset(), with_total=asked.with_total
        )

        def data_of(items: list[Message]) -> MessagePage:
            return {"messages": items, "hasMore": page.has_more, "total": page.total}

        return listing_reply(page.listing, data_of)

    @query("/message", "queryMessage", OneMessage, Message, missing=_NO_MESSAGE)
    async def message(request: Request) -> Response:
        """One message. A recalled one has no content."""
        asked = read(request, OneMessage, PARAMETER_RULES)
        return replies.success(await query_api(request).messages.one(asked.app_id, asked.message_id))

    @query("/groups", "queryGroups", PageOfGroups, GroupPage, missing=_NO_MESSAGE)
    async def groups(request: Request) -> Response:
        """The groups that a user has written in, or all groups of the app, newest activity first.

        A group that gets a message moves to the front. It is not listed again on later pages.
        """
        asked = read(request, PageOfGroups, PARAMETER_RULES)
        page = await query_api(request).groups.page(asked.app_id, asked.user_id, asked.after, asked.limit)

        def data_of(items: list[Group]) -> GroupPage:
            return {"groups": items, "hasMore": page.has_more}

        return listing_reply(page.listing, data_of)

    @query("/notices", "queryNotices", PageOfNotices, NoticePage, missing=_NO_NOTICE)
    async def notices(request: Request) -> Response:
        """Notices of a group, of a user, or of a user in a group, newest first.

        Deleted ones are listed only with `deleted=true`.
        """
        asked = read(request, PageOfNotices, PARAMETER_RULES)
        page = await query_api(request).notices.keyset_page(
            asked.owner(), asked.keyset(), with_deleted=asked.deleted
        )

        def data_of(items: list[Notice]) -> NoticePage:
            return {"notices": items, "hasMore": page.has_more}

        return listing_reply(page.listing, data_of)

    return router
