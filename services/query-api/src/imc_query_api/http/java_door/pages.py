"""Pages by number, of messages and of notices: of a group, of a user, or of a user in a group."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic

from fastapi import APIRouter, Request, Response

from imc_query_api.freshness.sources import Queries
from imc_query_api.http.java_door import calls
from imc_query_api.http.java_door.parameters import (
    ALL,
    MAX_PAGE_SIZE,
    OfGroup,
    OfUser,
    OfUserInGroup,
    Paged,
)
from imc_query_api.http.listings import listing_reply
from imc_query_api.http.state import query_api
from imc_query_api.queries.numbered_pages import NumberedPage
from imc_query_api.queries.selection import Owner, Window
from imc_query_api.queries.tables import View

_CALLS = (
    ("findByGroupId", "ByGroupId", OfGroup, "of a group"),
    ("findByUserId", "ByUserId", OfUser, "of a user"),
    ("findByGroupIdAndUserId", "ByGroupIdAndUserId", OfUserInGroup, "of a user in a group"),
)
"""Of each call: the end of its path, the end of its operation id, its parameters, whose items it lists."""


@dataclass(frozen=True, slots=True)
class Pages(Generic[View]):
    """The pages of messages, or those of notices: what differs between the two."""

    path: str
    """The path of the calls, without its last part."""

    operation_id: str
    """What the operation ids begin with."""

    description: str
    """What is listed; ``{whose}`` stands for whose items."""

    data: Any
    """The type of ``data`` in a reply."""

    read: Callable[[Queries, Owner, Window], Awaitable[NumberedPage[View]]]
    """Reads a page."""

    data_of: Callable[[int, list[View]], Any]
    """Makes ``data`` from the total and the items."""


def add_pages(router: APIRouter, pages: Pages[View]) -> None:
    """Add the three calls that list ``pages``."""
    for name, operation, model, whose in _CALLS:
        call = calls.JavaCall(
            f"{pages.path}/{name}",
            f"{pages.operation_id}{operation}",
            pages.description.format(whose=whose),
            model,
            pages.data,
        )
        calls.add(router, call, _page_of(pages, model))


def _page_of(pages: Pages[View], model: type[Paged]) -> calls.Endpoint:
    async def page(request: Request) -> Response:
        asked = calls.read(request, model)
        owner, window = asked.owner(), asked.window()
        found = await query_api(request).reads.read(
            lambda queries: pages.read(queries, owner, window), asked.app_id
        )
        if asked.page_size == ALL and found.total > MAX_PAGE_SIZE:
            raise calls.too_many()
        return listing_reply(found.listing, lambda items: pages.data_of(found.total, items))

    return page
