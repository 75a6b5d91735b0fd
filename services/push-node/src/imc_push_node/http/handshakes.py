"""How many gateways are let in at the door, and why the others are not."""

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

EXPECTED = (101, 401, 403, 404, 429, 500, 503)


class HandshakeMetrics:
    """ASGI middleware that counts the handshakes of gateways by the status that each is answered with."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._answers = Counter(
            "imc_gateway_handshakes",
            "Handshakes of gateways answered, by status: 101 to those that were let in.",
            ["status"],
            registry=registry,
        )
        for status in EXPECTED:
            self._answers.labels(status)  # told as 0 from the start: a rate begins with the second figure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a handshake on, and note its answer."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        answered = False

        async def send_and_note(message: Message) -> None:
            nonlocal answered
            await send(message)
            status = None if answered else _status(message)
            if status is not None:
                answered = True
                self._answers.labels(status).inc()

        try:
            await self._app(scope, receive, send_and_note)
        except (OSError, WebSocketDisconnect):
            raise  # it has hung up: nobody was answered
        except Exception:
            if not answered:
                self._answers.labels(500).inc()
            raise


def _status(message: Message) -> int | None:
    """The status that the message answers a handshake with, if it does."""
    if message["type"] == "websocket.http.response.start":
        return message["status"]
    # uvicorn answers 403 where a socket is closed before it is accepted.
    return {"websocket.accept": 101, "websocket.close": 403}.get(message["type"])


def count_handshakes(app: FastAPI, registry: CollectorRegistry) -> None:
    """Count them outside of all that may refuse them. To be called after all other middleware is added."""
    app.add_middleware(HandshakeMetrics, registry=registry)
