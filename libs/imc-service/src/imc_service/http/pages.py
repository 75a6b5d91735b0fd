"""Pages for people: a front page with links, and every call to try out.

They load nothing from other hosts, since users type tokens on them.
"""

import html
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.routing import Match
from starlette.types import Scope

FRONT_PATH = "/"
DOCS_PATH = "/docs"

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
"""Files of Swagger UI that its page loads, as the package fastapi-offline carries them."""

_INIT = "init.js"

PATHS = frozenset({FRONT_PATH, DOCS_PATH, *(f"{DOCS_PATH}/{name}" for name in (*_ASSETS, _INIT))})
"""The paths of the pages and of their files."""

_NOWHERE_ELSE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_FRONT_HEADERS = {
    "Content-Security-Policy": f"{_NOWHERE_ELSE}; style-src 'unsafe-inline'",
    "Referrer-Policy": "no-referrer",
}
_DOCS_HEADERS = {
    # Swagger UI styles its elements one by one, and draws its icons from data: URLs.
    "Content-Security-Policy": f"{_NOWHERE_ELSE}; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'",
    "Referrer-Policy": "no-referrer",
}

_LINKS = {
    "/docs": "every call, to try out",
    "/openapi.json": "the calls, for machines",
    "/readyz": "whether it can do its job now, and if not, why",
    "/livez": "whether it runs",
    "/metrics": "its metrics, for Prometheus",
}
"""The links of a front page, with what is there."""


def routes(app: FastAPI) -> APIRouter:
    """``/`` and ``/docs`` of an app that was made without pages of its own."""
    router = APIRouter(include_in_schema=False)
    pages = Path(str(files("imc_service"))) / "html"
    swagger_ui = Path(str(files("fastapi_offline"))) / "static"

    @router.get(FRONT_PATH)
    async def front() -> Response:
        return HTMLResponse(front_page(app), headers=_FRONT_HEADERS)

    @router.get(DOCS_PATH)
    async def docs() -> Response:
        return FileResponse(pages / "docs.html", media_type="text/html", headers=_DOCS_HEADERS)

    def serve(path: str, file: Path, media_type: str) -> None:
        @router.get(path)
        async def asset() -> Response:  # pyright: ignore[reportUnusedFunction]
            return FileResponse(file, media_type=media_type)

    serve(f"{DOCS_PATH}/{_INIT}", pages / _INIT, "text/javascript")
    for name, media_type in _ASSETS.items():
        serve(f"{DOCS_PATH}/{name}", swagger_ui / name, media_type)
    return router


def front_page(app: FastAPI) -> str:
    """The front page, with a link to each path that ``app`` answers."""
    return _FRONT.format(
        title=html.escape(app.title),
        description=html.escape(app.description),
        version=html.escape(app.version),
        links="".join(
            f'<li><a href="{path[1:]}">{path}</a> {html.escape(meaning)}</li>\n'
            for path, meaning in _LINKS.items()
            if _is_answered(app, path)
        ),
    )


def _is_answered(app: FastAPI, path: str) -> bool:
    scope: Scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in app.routes)


_FRONT = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{description}</p>
<ul>
{links}</ul>
<p>Version {version}</p>
</body>
</html>
"""
