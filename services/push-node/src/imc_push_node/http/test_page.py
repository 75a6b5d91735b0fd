"""A page to try a gateway by hand."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

_PAGE = Path(__file__).parent.parent / "pages" / "test.html"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "connect-src 'self' ws: wss: http: https:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


def routes() -> APIRouter:
    """``/test.html``."""
    router = APIRouter()

    @router.get("/test.html", include_in_schema=False)
    async def test_page() -> FileResponse:
        return FileResponse(_PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)

    return router
