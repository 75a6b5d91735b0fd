"""A page to try a gateway by hand."""

import asyncio
from pathlib import Path

from fastapi import APIRouter, Response

_PAGE = Path(__file__).with_name("test_page.html")
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
    async def test_page() -> Response:
        # No `FileResponse`: that answers a Range header that is not valid by itself.
        page = await asyncio.to_thread(_PAGE.read_bytes)
        return Response(page, media_type="text/html; charset=utf-8", headers=_HEADERS)

    return router
