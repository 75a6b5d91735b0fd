"""What operators see of gateways and do to them: those that are connected to any node, and an end."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from imc_contracts.commands import DisconnectGateway
from imc_contracts.envelope import Envelope
from imc_contracts.errors import unavailable
from imc_contracts.fields import DEFAULT_LIMIT, RULES, AppId, Limit, NodeAddress
from imc_contracts.operator_views import ConnectedGatewayPage, Disconnected
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_json
from imc_service.auth.audit import GATEWAY_DISCONNECTED, audit
from imc_service.auth.middleware import grant_in, granted
from imc_service.http import replies
from imc_service.http.bodies import read_json_body
from imc_service.http.openapi import ANY_CALL, COMMAND_WITHOUT_QUOTA, json_body, v1_replies
from imc_service.http.page_marks import AFTER_RULE, After, page_data
from imc_service.http.parameters import Parameters, described, read_query
from pydantic import Field
from redis.exceptions import RedisError

from imc_push_node.http.gateway_paths import IDS, V1_GATEWAYS, read_ids
from imc_push_node.http.state import push_node

PATH = V1_GATEWAYS.rstrip("/")
DISCONNECT_PATH = V1_GATEWAYS + "{appId}/{gatewayId}/disconnect"

DEFAULT_REASON = "disconnected by an operator"
BODY_BYTES = 4096

_RULES = {**RULES, "after": AFTER_RULE, "state": "connected, behind or closed"}
_NO_GATEWAY = "40403: no such gateway is connected."
_UNAVAILABLE = "50301: Redis or a push-node of this gateway does not answer, and connections may be left."
_DISCONNECT = v1_replies({**COMMAND_WITHOUT_QUOTA, 404: _NO_GATEWAY, 503: _UNAVAILABLE})


class PageOfGateways(Parameters):
    """Which gateways to list."""

    state: Literal["connected", "behind", "closed"] = Field(
        "connected",
        description="connected: all that are connected. behind: only those that are behind the log of their "
        "app. closed: those that were closed within the last hour, for a cause that somebody should look at, "
        "and are not connected again.",
        examples=["connected"],
    )
    app_id: AppId | None = Field(None, description="Only those of this app.")
    node: NodeAddress | None = Field(
        None, description="Only those on the push-node with this address, or closed by it."
    )
    after: After | None = Field(None, description="The `next` of the page before.")
    limit: Limit = DEFAULT_LIMIT


def routes() -> APIRouter:
    """The calls of operators."""
    router = APIRouter()

    @router.get(
        PATH,
        response_model=Envelope[ConnectedGatewayPage],
        responses=v1_replies(ANY_CALL),
        openapi_extra=described(PageOfGateways, _RULES),
    )
    async def connected_gateways(request: Request) -> Response:
        """The gateways that are connected, on all push-nodes; or those that were closed lately.

        Each connection is listed by itself, in the order of their appId and gatewayId. Of a gateway that was
        closed, its newest connection is listed as it was before it ended; lastClose says how it ended.
        """
        asked = read_query(request, PageOfGateways, _RULES)
        apps = grant_in(request.scope).among(Scope.OPERATE, asked.app_id)
        roster, place = push_node(request).roster, (apps, asked.node, asked.after, asked.limit)
        try:
            if asked.state == "closed":
                page = await roster.closed_page(*place)
            else:
                page = await roster.page(*place, is_behind=asked.state == "behind")
        except (RedisError, OSError):
            raise unavailable("the log is out of reach") from None
        return replies.success(page_data("gateways", page.items, page.next))

    @router.post(
        DISCONNECT_PATH,
        response_model=Envelope[Disconnected],
        responses=_DISCONNECT,
        openapi_extra={"parameters": IDS, **json_body(DisconnectGateway, required=False)},
    )
    async def disconnect_gateway(request: Request) -> Response:
        """Close all connections of a gateway with 4410, on whichever nodes they are.

        It does not connect again by itself, if it keeps to the meaning of that code.
        """
        node, grant = push_node(request), granted(request.scope, Scope.OPERATE)
        ids = read_ids(request.path_params)
        grant.require(Scope.OPERATE, ids.app_id)
        body = await read_json_body(request, BODY_BYTES, node.body_room)
        reason = parse_json(DisconnectGateway, body).reason if body else None
        connections, is_whole = await node.disconnects.disconnect(
            ids.app_id, ids.gateway_id, reason or DEFAULT_REASON
        )
        if connections:
            about = {"gatewayId": ids.gateway_id, "connections": connections}
            audit(request.scope, GATEWAY_DISCONNECTED, ids.app_id, **about)
        if not is_whole:
            raise unavailable("a push-node of this gateway does not answer")
        return replies.success({"disconnected": connections})

    return router
