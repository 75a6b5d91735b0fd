"""Each handshake is counted once, by its door and the status of its answer."""

import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_push_node.http.handshakes import HandshakeMetrics
from imc_testkit.gateway import connect
from imc_testkit.policies import FileOfApps
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


V1, JAVA = "/v1/gateways/app/gw", "/chat/message/broadcast/app/gw"


async def counted(
    application: Application, path: str = V1, kind: str = "websocket", gone: bool = False
) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()

    async def send(_message: Message) -> None:
        if gone:
            raise OSError

    end = OSError() if gone else application.end
    with contextlib.nullcontext() if end is None else pytest.raises(type(end)):
        await HandshakeMetrics(application, registry)({"type": kind, "path": path}, _receive, send)
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return {
        (sample.labels["door"], sample.labels["status"]): sample.value
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
    of_v1 = {("v1", status): count for status, count in expected.items()}
    assert await counted(application) == of_v1


@pytest.mark.parametrize(
    ("path", "door"),
    [(V1, "v1"), (JAVA, "java"), (JAVA + "/", "java"), ("/v2/gateways/app/gw", "none"), ("/", "none")],
)
async def test_a_handshake_is_counted_by_its_door(path: str, door: str) -> None:
    assert await counted(Application(ACCEPTED), path) == {(door, "101"): 1}


async def test_nothing_else_is_counted() -> None:
    assert await counted(Application(REFUSED), kind="http") == {}
    assert await counted(Application(ACCEPTED), gone=True) == {}


async def test_a_node_tells_how_it_answered(start_node: Any, app_id: str, tmp_path: Path) -> None:
    apps_file = FileOfApps(tmp_path / "apps.toml")
    apps_file.write("defaults.quotas.gateways = 1")
    node = await start_node(apps_file=apps_file.path)
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        with pytest.raises(InvalidStatus):
            async with connect(node.url, app_id, "two"):
                pass
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        told = (await client.get("/metrics")).text
    for door, status, count in (("v1", 101, 1), ("v1", 429, 1), ("java", 101, 0), ("java", 429, 0)):
        assert f'imc_gateway_handshakes_total{{door="{door}",status="{status}"}} {count:.1f}' in told
