"""Gateways that send: WebSockets to a push-node, each message a frame, or all of a hand-over one list."""

import asyncio
import secrets
from dataclasses import replace

import orjson

from imc_bench.installation import Installation
from imc_bench.push.imc_relay import imc
from imc_bench.push.outlets import WebSocketOutlet
from imc_bench.push.relay import Outlet, Relay

_FIELDS = {"groupId": "group-1", "userId": "user-1"}


class _Gateway:
    """A gateway as a way in; what it is told itself is not looked at."""

    def __init__(self, socket: WebSocketOutlet, *, as_lists: bool) -> None:
        self._socket = socket
        self._as_lists = as_lists

    async def put(self, contents: list[str]) -> None:
        """Written; nothing answers a send without an id of its own."""
        bodies = [orjson.dumps({**_FIELDS, "content": content}).decode() for content in contents]
        await self._socket.put([f"[{','.join(bodies)}]"] if self._as_lists else bodies)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


async def gateways(installed: Installation, *, as_lists: bool) -> Relay:
    """IMC, fed by gateways of its push-node."""
    fed_by_http = await imc(installed)

    async def outlet(app_id: str) -> Outlet:
        path = f"/chat/message/broadcast/{app_id}/sender-{secrets.token_hex(4)}"
        socket = WebSocketOutlet(path)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: socket, "127.0.0.1", fed_by_http.port)
        await socket.opened
        return _Gateway(socket, as_lists=as_lists)

    return replace(fed_by_http, open_outlet=outlet)
