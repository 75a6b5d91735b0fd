"""Checks the token of every call before anything else reads the call."""

from urllib.parse import parse_qs

from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope as GrantedScope
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.grant import EVERYTHING, Grant
from imc_service.auth.keys import invalid
from imc_service.http import pages, replies

OPEN_PATHS = frozenset(
    {"/livez", "/readyz", "/metrics", "/openapi.json", "/console", "/test.html", *pages.PATHS}
)
"""What needs no token: operations, the description of the API, and what leads to the console."""

OPEN_FOLDER = "/console/"
"""The files of the console, which need no token either: they hold nothing of any app."""

TOKEN_IN_QUERY = "token_in_query"  # noqa: S105
"""The key of ``scope["state"]`` that allows a request to have its token in the query, as a WebSocket may."""

STATE = "grant"
"""The key of ``scope["state"]`` under which a call finds its `Grant`."""


class Authenticated:
    """ASGI middleware that refuses calls without a valid token, WebSockets before their upgrade."""

    def __init__(self, app: ASGIApp, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on with its grant, or refuse it."""
        if scope["type"] not in ("http", "websocket") or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            await admit(scope, self._gatekeeper)
        except Refused as refused:
            # This answers a WebSocket too, instead of an upgrade.
            await replies.refusal_at(scope["path"], refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


async def admit(scope: Scope, gatekeeper: Gatekeeper) -> None:
    """Put the grant of a call into its scope. Raises as `Gatekeeper.grant_of`, and if there is no token."""
    grant = EVERYTHING if gatekeeper.is_off else await gatekeeper.grant_of(_token(scope))
    scope.setdefault("state", {})[STATE] = grant


def grant_in(scope: Scope) -> Grant:
    """The grant of a call, by its ASGI scope."""
    grant: Grant = scope["state"][STATE]
    return grant


def granted(scope: Scope, kind: GrantedScope) -> Grant:
    """The grant of a call, for calls of this ``kind``. Call it before the body is read.

    Raises `Refused` (`FORBIDDEN`) if the grant does not allow them.
    """
    grant = grant_in(scope)
    grant.require_scope(kind)
    return grant


def _token(scope: Scope) -> str:
    """The token of a call. Raises `Refused` (`UNAUTHENTICATED`) unless there is exactly one."""
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(headers) > 1:
        raise invalid("the request has more than one Authorization header")
    if headers:
        kind, _, token = headers[0].decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise invalid("the Authorization header is not `Bearer` and a token")
        return token.strip()
    # Browsers can't set a header here. For other calls a query is no place for a secret: queries are logged.
    if scope["type"] == "websocket" or scope.get("state", {}).get(TOKEN_IN_QUERY):
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [])
        if len(tokens) == 1:
            return tokens[0]
        raise invalid("a token is needed: send `Authorization: Bearer`, or access_token in the query")
    raise invalid("a token is needed: send `Authorization: Bearer`")
