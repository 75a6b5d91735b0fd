"""The console: static files at ``/console/``, which need no token, since they hold nothing of any app."""

import asyncio
import re
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

_FILES = Path(__file__).parents[1] / "console"
_PATH = "/console/"
_FIRST = "index.html"
_NAME = re.compile(r"(?:[a-z_]+/)?[a-z_]+\.(css|html|js|svg)")
"""A file of the console, at most one folder down. No such name leads out of the folder."""

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    # Nothing from other hosts, nothing inline, and no text that becomes markup: users type tokens here, and
    # what is shown was written by anyone.
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


def routes() -> APIRouter:
    """The files, and redirects to them from ``/``, ``/console`` and ``/test.html``, which was a page once."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    @router.get("/test.html")
    @router.get(_PATH.removesuffix("/"))
    async def lead_to_the_console() -> Response:
        # Relative, since a proxy may serve all this below a path of its own.
        return RedirectResponse(_PATH.removeprefix("/"), status_code=307)

    @router.get(_PATH + "{name:path}")
    async def file(name: str) -> Response:
        if (match := _NAME.fullmatch(name or _FIRST)) is None:
            raise _no_such_path()
        try:
            # No `FileResponse`: that answers a Range header that is not valid by itself.
            content = await asyncio.to_thread((_FILES / match[0]).read_bytes)
        except FileNotFoundError:
            raise _no_such_path() from None
        return Response(content, media_type=_MEDIA_TYPES[match[1]], headers=_HEADERS)

    return router


def _no_such_path() -> Refused:
    return Refused(ErrorCode.PATH_NOT_FOUND, "no such path")
