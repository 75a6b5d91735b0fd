"""``/notice/information``: pages of notices."""

from fastapi import APIRouter
from imc_contracts.views import JavaNoticePage

from imc_query_api.http.java_door.pages import Pages, add_pages

_PAGES = Pages(
    path="/notice/information",
    operation_id="javaFindNotices",
    description="Notices {whose}, newest first, without deleted ones.",
    data=JavaNoticePage,
    read=lambda queries, owner, window: queries.notices.numbered_page(owner, window),
    data_of=lambda total, items: JavaNoticePage(total=total, pageInformationList=items),
)


def add_routes(router: APIRouter) -> None:
    """Add the calls about notices."""
    add_pages(router, _PAGES)
