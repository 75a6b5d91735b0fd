"""The queries of v1, ``/v1/queries``. Pages are continued with an id of the page before."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.views import (
    Group,
    GroupPage,
    Message,
    MessageExport,
    MessagePage,
    Notice,
    NoticeExport,
    NoticePage,
)
from imc_service.http import openapi, replies
from imc_service.http.page_marks import page_data

from imc_query_api.freshness.sources import Queries
from imc_query_api.http.listings import listing_reply
from imc_query_api.http.parameters import described, read
from imc_query_api.http.state import query_api
from imc_query_api.http.v1.parameters import (
    EXPORT_RULES,
    PARAMETER_RULES,
    OneMessage,
    PageOfExport,
    PageOfGroups,
    PageOfMessages,
    PageOfNotices,
    Query,
)
from imc_query_api.queries.exports import Export, Exports

Answer = TypeVar("Answer")
_Endpoint = Callable[[Request], Awaitable[Response]]

_NO_MESSAGE = "40401: there is no such message."
_NO_NOTICE = "40402: there is no such notice."


async def _read(request: Request, asked: Query, query: Callable[[Queries], Awaitable[Answer]]) -> Answer:
    return await query_api(request).reads.read(query, asked.app_id, asked.min_cursor)


def routes() -> APIRouter:
    """All queries of v1."""
    router = APIRouter(prefix="/v1/queries", responses=openapi.v1_replies(openapi.QUERY))

    def query(
        path: str,
        operation_id: str,
        model: type[Query],
        data: Any,
        *,
        missing: str = "",
        rules: Mapping[str, str] = PARAMETER_RULES,
    ) -> Callable[[_Endpoint], _Endpoint]:
        return router.get(
            path,
            operation_id=operation_id,
            response_model=Envelope[data],
            responses=openapi.v1_replies({404: missing} if missing else {}),
            openapi_extra=described(model, rules),
        )

    @query("/messages", "queryMessages", PageOfMessages, MessagePage, missing=_NO_MESSAGE)
    async def messages(request: Request) -> Response:
        """Messages of a group, of a user, or of a user in a group, oldest first.

        Without `before` and `after`, the newest ones. Recalled messages are listed without content.
        """
        asked = read(request, PageOfMessages, PARAMETER_RULES)
        owner, keyset = asked.owner(), asked.keyset()
        page = await _read(
            request,
            asked,
            lambda queries: queries.messages.keyset_page(owner, keyset, with_total=asked.with_total),
        )

        def data_of(items: list[Message]) -> MessagePage:
            return {"messages": items, "hasMore": page.has_more, "total": page.total}

        return listing_reply(page.listing, data_of)

    @query("/message", "queryMessage", OneMessage, Message, missing=_NO_MESSAGE)
    async def message(request: Request) -> Response:
        """One message. A recalled one has no content."""
        asked = read(request, OneMessage, PARAMETER_RULES)
        found = await _read(
            request, asked, lambda queries: queries.messages.one(asked.app_id, asked.message_id)
        )
        return replies.success(found)

    @query("/groups", "queryGroups", PageOfGroups, GroupPage, missing=_NO_MESSAGE)
    async def groups(request: Request) -> Response:
        """The groups that a user has written in, or all groups of the app, newest activity first.

        A group that gets a message moves to the front. It is not listed again on later pages.
        """
        asked = read(request, PageOfGroups, PARAMETER_RULES)
        page = await _read(
            request,
            asked,
            lambda queries: queries.groups.page(asked.app_id, asked.user_id, asked.after, asked.limit),
        )

        def data_of(items: list[Group]) -> GroupPage:
            return {"groups": items, "hasMore": page.has_more}

        return listing_reply(page.listing, data_of)

    @query("/notices", "queryNotices", PageOfNotices, NoticePage, missing=_NO_NOTICE)
    async def notices(request: Request) -> Response:
        """Notices of a group, of a user, or of a user in a group, newest first.

        Deleted ones are listed only with `deleted=true`.
        """
        asked = read(request, PageOfNotices, PARAMETER_RULES)
        owner, keyset = asked.owner(), asked.keyset()
        page = await _read(
            request,
            asked,
            lambda queries: queries.notices.keyset_page(owner, keyset, with_deleted=asked.deleted),
        )

        def data_of(items: list[Notice]) -> NoticePage:
            return {"notices": items, "hasMore": page.has_more}

        return listing_reply(page.listing, data_of)

    @query("/export-messages", "exportMessages", PageOfExport, MessageExport, rules=EXPORT_RULES)
    async def export_messages(request: Request) -> Response:
        """All messages of an app, of a group, of a user, or of a user in a group, from the oldest on.

        Messages that are removed meanwhile do no harm. What is sent meanwhile may be listed.
        """
        return await _exported(request, "messages", lambda exports: exports.messages)

    @query("/export-notices", "exportNotices", PageOfExport, NoticeExport, rules=EXPORT_RULES)
    async def export_notices(request: Request) -> Response:
        """All notices of an app, of a group, of a user, or of a user in a group, from the oldest on.

        Deleted ones are listed too.
        """
        return await _exported(request, "notices", lambda exports: exports.notices)

    return router


async def _exported(request: Request, key: str, choose: Callable[[Exports], Export[Any]]) -> Response:
    """A page of an export, whose items stand under ``key``."""
    asked = read(request, PageOfExport, EXPORT_RULES)
    owner, place = asked.owner(), asked.place()
    page = await _read(
        request, asked, lambda queries: choose(queries.exports).page(owner, place, asked.limit)
    )

    def data_of(items: list[Any]) -> dict[str, Any]:
        return page_data(key, items, None if page.next is None else b"%d-%d" % page.next)

    return listing_reply(page.listing, data_of)
