"""The path that gateways connect to."""

from fastapi import APIRouter, Request, Response, WebSocket
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope
from imc_service.auth.middleware import grant_in
from imc_service.http import replies

from imc_push_node.gateway.websocket import EXTENSION, GatewayWebSocket
from imc_push_node.http.state import push_node

# The second id takes the rest of the path: ids with an encoded slash are answered as ids that are not valid.
PATH = "/v1/gateways/{appId}/{gatewayId:path}"


def routes() -> APIRouter:
    """The WebSocket, and an answer for whoever asks without an upgrade."""
    router = APIRouter()
    router.add_api_websocket_route(PATH, _connect)
    router.add_api_route(PATH, _not_a_page, methods=["GET"], include_in_schema=False)
    return router


async def _connect(websocket: WebSocket) -> None:
    node = push_node(websocket)
    socket: GatewayWebSocket = websocket.scope["extensions"][EXTENSION]
    grant, path = grant_in(websocket.scope), websocket.path_params
    try:
        grant.require(Scope.GATEWAY, path["appId"])
        await node.gateway_quota.take(path["appId"], path["gatewayId"])
    except Refused as refused:
        await websocket.send_denial_response(replies.refusal(refused))
        return
    await websocket.accept()
    await node.connections.open(socket, path, websocket.query_params, grant)


async def _not_a_page(_request: Request) -> Response:
    raise Refused(ErrorCode.INVALID_FIELD, "this path is a WebSocket: ask for an upgrade")
