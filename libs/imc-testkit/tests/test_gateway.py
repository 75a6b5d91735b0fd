import json
from collections.abc import AsyncGenerator

import pytest
from imc_testkit.gateway import connect
from websockets.asyncio.server import ServerConnection, serve


async def push_node(websocket: ServerConnection) -> None:
    """Send the requested path, then answer each frame. Close the connection on ``"bye"``."""
    assert websocket.request is not None
    await websocket.send(json.dumps({"code": 2000, "data": websocket.request.path, "cursor": "a.1-0"}))
    async for text in websocket:
        if text == "bye":
            await websocket.close(4409, "replaced")
            return
        await websocket.send(json.dumps({"code": 2001, "data": json.loads(text), "cursor": "a.2-0"}))


@pytest.fixture
async def url() -> AsyncGenerator[str]:
    async with serve(push_node, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


async def test_a_gateway_keeps_frames_in_order_and_the_last_cursor(url: str) -> None:
    async with connect(url, "app", "g 1", cursor="a.0-0", notices=True) as gateway:
        first = await gateway.wait_for(lambda frame: frame["code"] == 2000)
        assert first["data"] == "/v1/gateways/app/g%201?cursor=a.0-0&notices=1"
        assert gateway.cursor == "a.1-0"
        await gateway.send_json({"content": "é"})
        await gateway.send_text('{"content": "2"}')
        frames = await gateway.wait_for_code(2001, count=2)
        assert [frame["data"]["content"] for frame in frames] == ["é", "2"]
        assert gateway.cursor == "a.2-0"
        assert gateway.close_code is None


async def test_the_close_code_is_reported(url: str) -> None:
    async with connect(url, "app", "g") as gateway:
        await gateway.send_text("bye")
        assert await gateway.wait_closed() == 4409
        with pytest.raises(AssertionError, match="closed with 4409"):
            await gateway.wait_for(lambda frame: frame["code"] == 2002)
