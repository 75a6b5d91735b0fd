"""Counts the handshakes of gateways by how they were answered."""

from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from imc_push_node.http.doors import DOORS

EXPECTED = (101, 400, 401, 403, 404, 429, 500, 503)


class HandshakeMetrics:
    """ASGI middleware that counts handshakes by their door and the status of their answer."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._answers = Counter(
            "imc_gateway_handshakes",
            "Handshakes of gateways answered, by door (v1, java, or none if there is no such path) and by "
            "status: 101 to those that were let in.",
            ["door", "status"],
            registry=registry,
        )
        for door in DOORS:
            for status in EXPECTED:
                self._answers.labels(door, status)  # 0 from the start: a rate begins with the second figure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a handshake on, and count its answer."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        door, answered = _door(scope["path"]), False

        async def send_and_count(message: Message) -> None:
            nonlocal answered
            await send(message)
            status = None if answered else _status(message)
            if status is not None:
                answered = True
                self._answers.labels(door, status).inc()

        try:
            await self._app(scope, receive, send_and_count)
        except (OSError, WebSocketDisconnect):
            raise  # the client has hung up before it was answered
        except Exception:
            if not answered:
                self._answers.labels(door, 500).inc()
            raise


def _door(path: str) -> str:
    return next((name for name, door in DOORS.items() if path.startswith(door.prefix)), "none")


def _status(message: Message) -> int | None:
    """The status that the message answers a handshake with, if it does."""
    if message["type"] == "websocket.http.response.start":
        return message["status"]
    # uvicorn answers 403 if a socket is closed before it is accepted.
    return {"websocket.accept": 101, "websocket.close": 403}.get(message["type"])
