"""What the calls of the Java door have in common: registration, parameters, a refusal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from imc_contracts.codes import ErrorCode
from imc_contracts.envelope import Envelope, JavaAnswer
from imc_contracts.errors import Refused
from imc_service.http import openapi, replies

from imc_query_api.http import parameters
from imc_query_api.http.java_door.parameters import MAX_PAGE_SIZE, PARAMETER_RULES

Endpoint = Callable[[Request], Awaitable[Response]]
Model = TypeVar("Model", bound=parameters.Parameters)


@dataclass(frozen=True, slots=True)
class JavaCall:
    """A call of the Java version, as OpenAPI describes it."""

    path: str
    operation_id: str
    description: str
    model: type[parameters.Parameters]
    data: Any
    """The type of ``data`` in its reply."""
    business: str | None = None
    """What it refuses with status 200, if it does."""


def add(router: APIRouter, call: JavaCall, endpoint: Endpoint) -> None:
    """Let ``endpoint`` answer a call. OPTIONS is answered with the methods, as in the Java version."""
    router.add_api_route(
        call.path,
        endpoint,
        methods=["GET"],
        operation_id=call.operation_id,
        description=call.description,
        response_model=JavaAnswer[call.data] if call.business else Envelope[call.data],
        responses=openapi.java_replies(openapi.QUERY, business=call.business),
        openapi_extra=parameters.described(call.model, PARAMETER_RULES),
    )
    router.add_api_route(call.path, _options, methods=["OPTIONS"], include_in_schema=False)


async def _options(_request: Request) -> Response:
    reply = replies.success(None)
    reply.headers["Allow"] = "GET, HEAD, OPTIONS"
    return reply


def read(request: Request, model: type[Model]) -> Model:
    """Read the parameters of a call; raises as `parameters.read` does."""
    return parameters.read(request, model, PARAMETER_RULES)


def too_many() -> Refused:
    """The refusal of a ``pageSize`` of -1 where there are more items than a page may have."""
    words = f"pageSize is -1, but there are more than {MAX_PAGE_SIZE} items: it must be 0 to {MAX_PAGE_SIZE}"
    return Refused(ErrorCode.INVALID_FIELD, words)
