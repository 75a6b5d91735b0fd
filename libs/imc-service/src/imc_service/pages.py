"""The page that describes a service for people to try, and what browsers may do on pages of ours."""

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html

_SCRIPTS = "https://cdn.jsdelivr.net"
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'unsafe-inline' {_SCRIPTS}; style-src 'unsafe-inline' {_SCRIPTS}; "
        "img-src data: https://fastapi.tiangolo.com; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


def description_of(app: FastAPI) -> APIRouter:
    """``/docs`` of an app that was made without one. Its scripts come from a content delivery network."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = get_swagger_ui_html(openapi_url=app.openapi_url or "", title=app.title)
        page.headers.update(_HEADERS)
        return page

    return router
