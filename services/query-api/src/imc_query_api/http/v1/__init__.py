"""The queries of v1, ``/v1/queries``. Pages are continued with an id of the page before."""

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

_DATABASE = {503: "50301: the database is out of reach; `Retry-After` says when to retry."}
_REPLIES = openapi.v1_replies({**openapi.ANY_CALL, **_DATABASE})
_NO_MESSAGE = openapi.v1_replies({404: "40401: there is no such message."})
_NO_NOTICE = openapi.v1_replies({404: "40402: there is no such notice."})


def _described(model: type[Parameters]) -> dict[str, Any]:
    return described(model, PARAMETER_RULES)


def routes() -> APIRouter:
    """All queries of v1."""
    router = APIRouter(prefix="/v1/queries", responses=_REPLIES)

    @router.get(
        "/messages",
        operation_id="queryMessages",
        response_model=Envelope[MessagePage],
        responses=_NO_MESSAGE,
        openapi_extra=_described(PageOfMessages),
    )
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

    @router.get(
        "/message",
        operation_id="queryMessage",
        response_model=Envelope[Message],
        responses=_NO_MESSAGE,
        openapi_extra=_described(OneMessage),
    )
    async def message(request: Request) -> Response:
        """One message. A recalled one has no content."""
        asked = read(request, OneMessage, PARAMETER_RULES)
        return replies.success(await query_api(request).messages.one(asked.app_id, asked.message_id))

    @router.get(
        "/groups",
        operation_id="queryGroups",
        response_model=Envelope[GroupPage],
        responses=_NO_MESSAGE,
        openapi_extra=_described(PageOfGroups),
    )
    async def groups(request: Request) -> Response:
        """The groups that a user has written in, or all groups of the app, newest activity first.

        A group that gets a message moves to the front. It is not listed again on later pages.
        """
        asked = read(request, PageOfGroups, PARAMETER_RULES)
        page = await query_api(request).groups.page(asked.app_id, asked.user_id, asked.after, asked.limit)

        def data_of(items: list[Group]) -> GroupPage:
            return {"groups": items, "hasMore": page.has_more}

        return listing_reply(page.listing, data_of)

    @router.get(
        "/notices",
        operation_id="queryNotices",
        response_model=Envelope[NoticePage],
        responses=_NO_NOTICE,
        openapi_extra=_described(PageOfNotices),
    )
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
