"""The ids in the paths of gateways.

An id may hold any character, also a slash, which is ``%2F`` in a path. So these paths are split into their
segments first, and the escapes of each segment are decoded after that.
"""

from collections.abc import Mapping

from imc_contracts.field_guide import EXAMPLES
from imc_contracts.fields import AppId, GatewayId
from imc_contracts.validation import parse_fields
from imc_service.auth.middleware import TOKEN_IN_QUERY
from imc_service.http.openapi import field_description
from imc_service.http1.targets import unquote_strictly
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.alias_generators import to_camel
from starlette.types import ASGIApp, Receive, Scope, Send

V1_GATEWAYS = "/v1/gateways/"
JAVA_GATEWAYS = "/chat/message/broadcast/"
EVENTS = "/events"
"""What the path of a gateway's events ends with."""


class GatewayIds(BaseModel):
    """The two ids in the path of a gateway."""

    model_config = ConfigDict(alias_generator=to_camel)

    app_id: AppId
    gateway_id: GatewayId


IDS = [
    {
        "name": name,
        "in": "path",
        "required": True,
        "description": field_description(name),
        "example": EXAMPLES[name],
        "schema": adapter.json_schema(),
    }
    for name, adapter in (("appId", TypeAdapter(AppId)), ("gatewayId", TypeAdapter(GatewayId)))
]
"""The two ids as parameters of a path, for OpenAPI."""


class GatewayPaths:
    """ASGI middleware that lets the paths of gateways be routed as they were sent, with their escapes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the raw path in the place of the decoded one.

        The path of events may have its token in the query, since browsers can set no header there either.
        """
        if scope["type"] in ("http", "websocket") and scope["path"].startswith((V1_GATEWAYS, JAVA_GATEWAYS)):
            # In place: the server reads the route from this scope at the end.
            scope["path"] = scope["raw_path"].decode("ascii")
            if scope["type"] == "http" and scope["path"].endswith(EVENTS):
                scope.setdefault("state", {})[TOKEN_IN_QUERY] = True
        await self._app(scope, receive, send)


def decode_ids(path: Mapping[str, str]) -> dict[str, str]:
    """Decode the ids in a path; raises `Refused` (`INVALID_FIELD`) if one is not UTF-8."""
    return {name: unquote_strictly(segment.encode(), name) for name, segment in path.items()}


def read_ids(path: Mapping[str, str]) -> GatewayIds:
    """Decode and check the ids in a path; raises `Refused` (`INVALID_FIELD`)."""
    return parse_fields(GatewayIds, decode_ids(path))
