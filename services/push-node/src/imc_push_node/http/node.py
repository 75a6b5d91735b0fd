"""Tells a gateway which node it belongs to."""

from fastapi import APIRouter, Request, Response
from imc_contracts.envelope import Envelope
from imc_contracts.scopes import Scope
from imc_contracts.views import Node
from imc_service.auth.middleware import grant_in
from imc_service.http import replies
from imc_service.http.openapi import ANY_CALL, v1_replies

from imc_push_node.http.gateway_paths import IDS, V1_GATEWAYS, read_ids
from imc_push_node.http.state import push_node

PATH = V1_GATEWAYS + "{appId}/{gatewayId}/node"

_REPLIES = v1_replies({**ANY_CALL, 404: "40400: this is no path of a gateway."})


def routes() -> APIRouter:
    """``…/node``."""
    router = APIRouter()

    @router.get(
        PATH,
        response_model=Envelope[Node],
        responses=_REPLIES,
        openapi_extra={"parameters": IDS},
    )
    async def home_node(request: Request) -> Response:
        """The push-node that this gateway belongs to, among those that are ready now."""
        node = push_node(request)
        ids = read_ids(request.path_params)
        grant_in(request.scope).require(Scope.GATEWAY, ids.app_id)
        return replies.success(node.membership.home_of(ids.app_id, ids.gateway_id))

    return router
