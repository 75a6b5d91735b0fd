"""A gateway that is stuck: its process lives, and reads nothing. What is left to see of it."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, separate
from imc_testkit.waiting import wait_until

from conftest import Client

LARGE = "x" * 60_000
QUICKLY = {"IMC_STALL_SECONDS": "1", "IMC_GATEWAY_BUFFER_BYTES": "65536"}


@pytest.fixture
async def installation(redis_url: str, database_url: str) -> AsyncGenerator[Deployment]:
    async with separate(redis_url, database_url, QUICKLY) as deployment:
        yield deployment


def stuck_gateway(url: str, app_id: str, gateway_id: str) -> socket.socket:
    """A connection that asks to be a gateway, and never reads: not the reply either."""
    host, port = url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    raw.connect((host, int(port)))
    raw.sendall(
        f"GET /v1/gateways/{app_id}/{gateway_id} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    return raw


async def test_it_is_named_after_its_close_and_after_the_end_of_its_node(
    installation: Deployment, http: httpx.AsyncClient, app_id: str
):
    node, other = installation.push_nodes
    client = Client(installation, http)

    async def gateways(state: str) -> list[dict[str, Any]]:
        query = {"appId": app_id, "state": state}
        return (await http.get(f"{other.url}/v1/gateways", params=query)).json()["data"]["gateways"]

    with stuck_gateway(node.url, app_id, "stuck"):
        await wait_until(lambda: gateways("connected"))
        for _ in range(10):
            await asyncio.gather(*(client.send(app_id, LARGE) for _ in range(15)))
        [closed] = await wait_until(lambda: gateways("closed"), 30) or [{}]
    assert await gateways("connected") == await gateways("behind") == []
    reason = "no progress: took nothing for 1 seconds"
    assert (closed["gatewayId"], closed["state"]) == ("stuck", "closed")
    assert (closed["lastClose"]["code"], closed["lastClose"]["reason"]) == (4408, reason)
    assert closed["lagEntries"] > 0 < closed["lagBytes"]
    [line] = [json.loads(line) for line in node.lines if "a gateway is closed" in line]
    assert (line["level"], line["appId"], line["gatewayId"]) == ("warning", app_id, "stuck")
    assert (line["reason"], line["lagEntries"] > 0) == (reason, True)
    await node.kill()
    assert await gateways("closed") == [closed]
