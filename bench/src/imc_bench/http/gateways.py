"""Gateways that send messages over WebSocket, as one frame per message or as lists."""

import asyncio
import secrets
from dataclasses import replace

import orjson

from imc_bench.installation import Installation
from imc_bench.push.imc_relay import imc
from imc_bench.push.publishers import WebSocketPublisher
from imc_bench.push.relay import Publisher, Relay

_FIELDS = {"groupId": "group-1", "userId": "user-1"}


class _Gateway:
    """A gateway that publishes messages and ignores what it receives."""

    def __init__(self, socket: WebSocketPublisher, *, as_lists: bool) -> None:
        self._socket = socket
        self._as_lists = as_lists

    async def publish(self, contents: list[str]) -> None:
        """Write the messages. Sends without a ``clientMessageId`` get no reply."""
        bodies = [orjson.dumps({**_FIELDS, "content": content}).decode() for content in contents]
        await self._socket.publish([f"[{','.join(bodies)}]"] if self._as_lists else bodies)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


async def gateways(installed: Installation, *, as_lists: bool) -> Relay:
    """IMC as a relay that messages are sent to by gateways."""
    relay = await imc(installed)

    async def publisher(app_id: str) -> Publisher:
        path = f"/v1/gateways/{app_id}/sender-{secrets.token_hex(4)}"
        socket = WebSocketPublisher(path)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: socket, "127.0.0.1", relay.port)
        await socket.opened
        return _Gateway(socket, as_lists=as_lists)

    return replace(relay, open_publisher=publisher)
