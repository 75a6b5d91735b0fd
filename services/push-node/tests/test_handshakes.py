"""What is counted of handshakes: each once, by the status of its answer."""

import contextlib
from typing import Any

import httpx
import pytest
from imc_push_node.http.handshakes import HandshakeMetrics
from imc_testkit.gateway import connect
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus

REFUSED: Message = {"type": "websocket.http.response.start", "status": 401, "headers": []}
BODY: Message = {"type": "websocket.http.response.body", "body": b"why"}
ACCEPTED: Message = {"type": "websocket.accept"}
CLOSED: Message = {"type": "websocket.close", "code": 1000}


class Application:
    """Answers a handshake with ``messages``, then ends as it is told."""

    def __init__(self, *messages: Message, end: Exception | None = None) -> None:
        self.messages = messages
        self.end = end

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send(message)
        if self.end is not None:
            raise self.end


async def _receive() -> Message:
    raise AssertionError


async def counted(application: Application, kind: str = "websocket", gone: bool = False) -> dict[str, float]:
    registry = CollectorRegistry()

    async def send(_message: Message) -> None:
        if gone:
            raise OSError

    end = OSError() if gone else application.end
    with contextlib.nullcontext() if end is None else pytest.raises(type(end)):
        await HandshakeMetrics(application, registry)({"type": kind}, _receive, send)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {
        sample.labels["status"]: sample.value
        for sample in samples
        if sample.name.endswith("_total") and sample.value
    }


@pytest.mark.parametrize(
    ("application", "expected"),
    [
        (Application(ACCEPTED), {"101": 1}),
        (Application(ACCEPTED, CLOSED), {"101": 1}),
        (Application(ACCEPTED, end=RuntimeError()), {"101": 1}),
        (Application(REFUSED, BODY), {"401": 1}),
        (Application(CLOSED), {"403": 1}),
        (Application(end=RuntimeError()), {"500": 1}),
        (Application(end=WebSocketDisconnect(1006)), {}),
    ],
)
async def test_a_handshake_is_counted_once_by_its_status(
    application: Application, expected: dict[str, float]
) -> None:
    assert await counted(application) == expected


async def test_nothing_else_is_counted() -> None:
    assert await counted(Application(REFUSED), kind="http") == {}
    assert await counted(Application(ACCEPTED), gone=True) == {}


async def test_a_node_tells_how_it_answered(start_node: Any, app_id: str) -> None:
    node = await start_node(quotas='{"all": {"gateways": 1}}')
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        with pytest.raises(InvalidStatus):
            async with connect(node.url, app_id, "two"):
                pass
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        told = (await client.get("/metrics")).text
    assert 'imc_gateway_handshakes_total{status="101"} 1.0' in told
    assert 'imc_gateway_handshakes_total{status="429"} 1.0' in told
