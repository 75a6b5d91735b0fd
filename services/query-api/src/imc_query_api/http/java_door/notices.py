"""``/notice/information``: pages of notices."""

from fastapi import APIRouter, Request, Response
from imc_contracts.views import JavaNoticePage, Notice

from imc_query_api.http.java_door import calls
from imc_query_api.http.java_door.parameters import ALL, MAX_PAGE_SIZE, Paged
from imc_query_api.http.listings import listing_reply
from imc_query_api.http.state import query_api


def add_routes(router: APIRouter) -> None:
    """Add the calls about notices."""
    for name, operation, model, whose in calls.PAGED:
        description = f"Notices {whose}, newest first, without deleted ones."
        call = calls.JavaCall(
            f"/notice/information/{name}", f"javaFindNotices{operation}", description, model, JavaNoticePage
        )
        calls.add(router, call, _page_of(model))


def _page_of(model: type[Paged]) -> calls.Endpoint:
    async def page(request: Request) -> Response:
        asked = calls.read(request, model)
        found = await query_api(request).notices.numbered_page(asked.owner(), asked.window())
        if asked.page_size == ALL and found.total > MAX_PAGE_SIZE:
            raise calls.too_many()

        def data_of(items: list[Notice]) -> JavaNoticePage:
            return {"total": found.total, "pageInformationList": items}

        return listing_reply(found.listing, data_of)

    return page
