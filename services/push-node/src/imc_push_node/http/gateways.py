"""The paths that gateways connect to."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response, WebSocket
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope
from imc_service.auth.middleware import grant_in
from imc_service.http import replies
from starlette.websockets import WebSocketDisconnect

from imc_push_node.gateway.websocket import EXTENSION, GatewayWebSocket
from imc_push_node.http.connection import Arrival
from imc_push_node.http.doors import DOORS, Door
from imc_push_node.http.gateway_paths import decode_ids, read_ids
from imc_push_node.http.state import push_node


def routes() -> APIRouter:
    """The WebSockets of both doors, and a refusal for requests there that ask for no upgrade."""
    router = APIRouter()
    for door in DOORS.values():
        router.add_api_websocket_route(door.path, _handshake_at(door))
        router.add_api_route(door.path, _not_a_page, methods=["GET"], include_in_schema=False)
    return router


def _handshake_at(door: Door) -> Callable[[WebSocket], Awaitable[None]]:
    async def handshake(websocket: WebSocket) -> None:
        connections = push_node(websocket).connections
        socket: GatewayWebSocket = websocket.scope["extensions"][EXTENSION]
        try:
            grant_in(websocket.scope).require(Scope.GATEWAY, decode_ids(websocket.path_params)["appId"])
        except Refused as refused:
            await _deny(websocket, refused)
            return
        try:
            arrival = _read_arrival(websocket, door)
        except Refused as refused:
            await websocket.accept()
            connections.refuse(socket, door, refused)
            return
        try:
            connections.admission.require(arrival.app_id)
            await connections.gateway_quota.take(arrival.app_id, arrival.slot)
        except Refused as refused:
            await _deny(websocket, refused)
            return
        try:
            await websocket.accept()
        except WebSocketDisconnect:
            connections.gateway_quota.give_back(arrival.app_id, arrival.slot)
            raise
        await connections.open(socket, arrival)

    return handshake


async def _deny(websocket: WebSocket, refused: Refused) -> None:
    """Answer a handshake with an HTTP reply instead of an upgrade."""
    await websocket.send_denial_response(replies.refusal_at(websocket.scope["path"], refused))


def _read_arrival(websocket: WebSocket, door: Door) -> Arrival:
    ids, query = read_ids(websocket.path_params), websocket.query_params
    return Arrival(
        door=door,
        app_id=ids.app_id,
        gateway_id=ids.gateway_id,
        slot=door.slot(ids.gateway_id),
        push_format=door.push_format(query),
        offered=door.offered_cursor(query),
        grant=grant_in(websocket.scope),
        lists_groups=door.lists_groups(query),
    )


async def _not_a_page(_request: Request) -> Response:
    raise Refused(ErrorCode.INVALID_FIELD, "this path is a WebSocket: ask for an upgrade")
