"""Asks every caller for a token, before anything else looks at the call."""

from typing import cast
from urllib.parse import parse_qs

from imc_contracts.errors import Refused
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.grant import EVERYTHING, Grant
from imc_service.auth.grant import Scope as GrantedScope
from imc_service.auth.keys import invalid
from imc_service.http import pages, replies

OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/test.html", *pages.PATHS})
"""What anybody may read: of operations, and of the calls there are."""

STATE = "grant"
"""The key of ``scope["state"]`` under which a call finds its `Grant`."""


class Authenticated:
    """ASGI middleware: calls without a valid token are answered 401, WebSockets before their upgrade."""

    def __init__(self, app: ASGIApp, gatekeeper: Gatekeeper) -> None:
        self._app = app
        self._gatekeeper = gatekeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on with its grant, or refuse it."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            await admit(scope, self._gatekeeper)
        except Refused as refused:
            # Answers a WebSocket as well: with the same reply, instead of an upgrade.
            await replies.refusal_at(scope["path"], refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)


async def admit(scope: Scope, gatekeeper: Gatekeeper) -> None:
    """Give a call its grant; raises `Refused` as `Gatekeeper.grant_of` does, and if it bears no token."""
    grant = EVERYTHING if gatekeeper.is_off else await gatekeeper.grant_of(_token(scope))
    scope.setdefault("state", {})[STATE] = grant


def grant_in(scope: Scope) -> Grant:
    """The grant of a call, by its ASGI scope."""
    return cast(Grant, scope["state"][STATE])


def granted(scope: Scope, kind: GrantedScope) -> Grant:
    """The grant of a call, if it allows calls of this ``kind``: to be asked before the body is read.

    Raises `Refused` (`FORBIDDEN`).
    """
    grant = grant_in(scope)
    grant.require_scope(kind)
    return grant


def _token(scope: Scope) -> str:
    """The token of a call; raises `Refused` (`UNAUTHENTICATED`) if it bears none, or several."""
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(headers) > 1:
        raise invalid("the request has more than one Authorization header")
    if headers:
        kind, _, token = headers[0].decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise invalid("the Authorization header is not `Bearer` and a token")
        return token.strip()
    # Browsers can't set a header here. Of other calls a query is no place for a secret: it gets into logs.
    if scope["type"] == "websocket":
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [])
        if len(tokens) == 1:
            return tokens[0]
        raise invalid("a token is needed: send `Authorization: Bearer`, or access_token in the query")
    raise invalid("a token is needed: send `Authorization: Bearer`")
