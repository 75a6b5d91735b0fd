"""``/chat/message``: pages of messages, and the messages before and after a message."""

from fastapi import APIRouter, Request, Response
from imc_contracts.views import JavaMessagePage, Message

from imc_query_api.http.java_door import calls
from imc_query_api.http.java_door.pages import Pages, add_pages
from imc_query_api.http.java_door.parameters import ALL, MAX_PAGE_SIZE, NextToMessage
from imc_query_api.http.listings import listing_reply
from imc_query_api.http.state import query_api
from imc_query_api.queries.selection import Keyset, Owner

_PAGES = Pages(
    path="/chat/message",
    operation_id="javaFindMessages",
    description="Messages {whose}, oldest first; recalled ones without content.",
    data=JavaMessagePage,
    read=lambda queries, owner, window: queries.messages.numbered_page(owner, window),
    data_of=lambda total, items: JavaMessagePage(total=total, pageMessageList=items),
)


def add_routes(router: APIRouter) -> None:
    """Add the calls about messages."""
    add_pages(router, _PAGES)
    for name, is_before, where in (
        ("findBeforeByMessageId", True, "before"),
        ("findAfterByMessageId", False, "after"),
    ):
        call = calls.JavaCall(
            f"/chat/message/{name}",
            f"javaFindMessages{where.capitalize()}",
            f"The messages of a group just {where} one of them, oldest first.",
            NextToMessage,
            list[Message],
            business="there is no such message",
        )
        calls.add(router, call, _next_to(is_before=is_before))


def _next_to(*, is_before: bool) -> calls.Endpoint:
    async def messages(request: Request) -> Response:
        asked = calls.read(request, NextToMessage)
        limit = MAX_PAGE_SIZE if asked.page_size == ALL else asked.page_size
        message_id = asked.message_id
        keyset = Keyset(limit, before=message_id) if is_before else Keyset(limit, after=message_id)
        owner = Owner(asked.app_id, group_id=asked.group_id)
        found = await query_api(request).reads.read(
            lambda queries: queries.messages.keyset_page(owner, keyset), asked.app_id
        )
        if asked.page_size == ALL and found.has_more:
            raise calls.too_many()
        return listing_reply(found.listing, lambda items: items)

    return messages
