"""Faults of gateways: all reconnect at once, two share an id, clients send invalid frames."""

import asyncio
import contextlib

from imc_testkit.faults.testbed import Fault, Testbed
from imc_testkit.gateway import connect
from imc_testkit.waiting import wait_until

_CLOSED_SECONDS = 10.0
_UPGRADE = (
    "GET /v1/gateways/{app}/hostile HTTP/1.1\r\nHost: node\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

_UNMASKED, _RESERVED_BITS, _BINARY = b"\x81\x05hello", b"\xf1\x80\0\0\0\0", b"\x82\x80\0\0\0\0"
_FRAGMENTED_PING, _ENDLESS = b"\x09\x80\0\0\0\0", b"\x81\xff" + b"\xff" * 12
_FRAMES = (_UNMASKED, _RESERVED_BITS, _BINARY, _FRAGMENTED_PING, _ENDLESS)


async def _all_at_once(testbed: Testbed) -> None:
    for gateway in testbed.load.gateways:
        gateway.drop()
    await wait_until(
        lambda: all(gateway.connection for gateway in testbed.load.gateways),
        30,
        what="all gateways to reconnect",
    )


async def _twice(testbed: Testbed) -> None:
    """A second connection replaces a gateway, which reconnects and replaces it in turn."""
    gateway = testbed.random.choice(testbed.load.gateways)
    for node in testbed.deployment.push_nodes:
        before = gateway.connection
        async with connect(node.url, gateway.app_id, gateway.gateway_id) as double:
            assert await double.wait_closed(_CLOSED_SECONDS) == 4409
        await wait_until(
            lambda before=before: gateway.connection not in (None, before),
            30,
            what="the replaced gateway to reconnect",
        )


async def _hostile(testbed: Testbed) -> None:
    """Connections with invalid frames are closed; others are not affected."""
    app_id = testbed.random.choice(testbed.load.app_ids)
    for node in testbed.deployment.push_nodes:
        for frame in _FRAMES:
            async with asyncio.timeout(_CLOSED_SECONDS):
                await _send_and_be_closed(node.port, _UPGRADE.format(app=app_id).encode(), frame)


async def _send_and_be_closed(port: int, upgrade: bytes, frame: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(upgrade)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame)
        with contextlib.suppress(ConnectionError):
            await reader.read(-1)
    finally:
        writer.close()


FAULTS: dict[str, Fault] = {
    "gateways all at once": _all_at_once,
    "gateway twice": _twice,
    "hostile frames": _hostile,
}
"""The faults of this module by name."""
