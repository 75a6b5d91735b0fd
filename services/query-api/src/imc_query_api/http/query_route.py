"""The kind of route that all queries have."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from fastapi import Request, Response
from fastapi.routing import APIRoute
from imc_service.openapi import REFUSALS

ANY_QUERY: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (400, 500, 503)}
"""What every query may answer besides success."""

BESIDE_MESSAGE: dict[int | str, dict[str, Any]] = {404: REFUSALS[404]}
"""What a query that starts from a message may answer too."""


class QueryRoute(APIRoute):
    """A route whose endpoint takes the request and returns the reply.

    There is nothing to inject and nothing to serialise: going straight to the endpoint saves the search for
    it at each request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, as the framework calls it."""
        endpoint = cast(Callable[[Request], Awaitable[Response]], self.endpoint)

        async def answer(request: Request) -> Response:
            return await endpoint(request)

        return answer
