"""Calls answered before FastAPI's own stack.

FastAPI's routing, dependencies and exit stacks cost as much as reading a page of history. A call that is
nothing but a request in and a reply out needs none of them: its endpoint is called as it is. The routes stay
registered with FastAPI, which describes them and answers all else on their paths.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from imc_contracts.errors import Refused
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_service import replies

Endpoint = Callable[[Request], Awaitable[Response]]


class HotPath:
    """ASGI middleware, to be the innermost: what stands around FastAPI's routes stands around these too.

    Paths of the routes in ``routers`` have no parameters; their endpoints take the request and no more.
    """

    def __init__(self, app: ASGIApp, routers: Iterable[APIRouter]) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot call, pass on all else. A fault of ours is left to whoever catches FastAPI's."""
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = route  # what metrics name the call by
        endpoint = cast(Endpoint, route.endpoint)
        try:
            reply = await endpoint(Request(scope, receive))
        except Refused as refused:
            reply = replies.refusal(refused)
        await reply(scope, receive, send)
