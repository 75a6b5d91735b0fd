"""A gateway that reconnects with its cursor, and records every frame."""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

from imc_contracts.codes import ErrorCode
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from imc_testkit.clients import Clients, Draft
from imc_testkit.history import Answer, Attempt, Connection, Frame, History, digest

_PUSHES, _ACKNOWLEDGED, _REFUSED, _CONNECTED, _GAP = (2001, 2002), 2003, 4001, 2000, 4002
_CONNECT_SECONDS = 8.0
_SEND_SECONDS = 5.0
_RETRY_SECONDS = 0.2


class RecordedGateway:
    """Stays connected while `run` runs. Other methods act on the newest connection. ``nodes`` are URLs."""

    def __init__(
        self,
        nodes: Sequence[str],
        history: History,
        clients: Clients,
        app_id: str,
        gateway_id: str,
        node: int = 0,
        cursor: str | None = None,
    ) -> None:
        self.app_id = app_id
        self.gateway_id = gateway_id
        self.node = node
        """Index of the push-node that it connects to next, modulo the number of nodes."""
        self.cursor = cursor
        """The newest cursor, to resume from."""
        self.connection: Connection | None = None
        """The newest connection that received its 2000, or None while disconnected."""
        self._nodes = nodes
        self._history = history
        self._clients = clients
        self._random = Random(f"{history.seed}/{app_id}/{gateway_id}")  # noqa: S311 - repeatable
        self._websocket: ClientConnection | None = None
        self._reads = asyncio.Event()
        self._reads.set()
        self._unanswered: dict[str, Attempt] = {}

    def drop(self) -> None:
        """Abort the connection without a close frame."""
        if self._websocket is not None:
            self._websocket.transport.abort()

    def stall(self) -> None:
        """Stop reading; the connection stays open."""
        self._reads.clear()

    def resume_reading(self) -> None:
        """Read again after `stall`."""
        self._reads.set()

    async def send(self, drafts: Sequence[Draft]) -> None:
        """Send messages in one frame; do nothing while disconnected or stalled.

        Only messages with a ``clientMessageId`` are answered.
        """
        websocket = self._websocket
        if websocket is None or not self._reads.is_set():
            return
        attempts = [self._clients.attempt(draft, "frame") for draft in drafts]
        for draft, attempt in zip(drafts, attempts, strict=True):
            if draft.send.client_message_id is not None:
                self._unanswered[draft.send.client_message_id] = attempt
        bodies = [draft.body for draft in drafts]
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(_SEND_SECONDS):
                await websocket.send(json.dumps(bodies[0] if len(bodies) == 1 else bodies))
                return
        websocket.transport.abort()  # part of the frame may have been sent

    async def run(self) -> None:
        """Connect, and reconnect after each end, until cancelled."""
        while True:
            connection = Connection(self.app_id, self.gateway_id, self.node, self.cursor, time.monotonic())
            self._history.connections.append(connection)
            try:
                async with connect(
                    self._address(), proxy=None, max_size=None, open_timeout=_CONNECT_SECONDS,
                    ping_interval=None, close_timeout=1, compression=None,
                ) as self._websocket:  # fmt: skip
                    with contextlib.suppress(ConnectionClosed):
                        await self._read(connection, self._websocket)
                    connection.close_code = self._websocket.close_code
            except (OSError, WebSocketException, TimeoutError):
                pass  # this node is down; try the next
            finally:
                self.connection = self._websocket = None
                self._unanswered.clear()
            self.node += 1
            if not connection.frames:
                await asyncio.sleep(_RETRY_SECONDS * (0.5 + self._random.random()))

    def _address(self) -> str:
        query = f"?{urlencode({'cursor': self.cursor})}" if self.cursor else ""
        url = self._nodes[self.node % len(self._nodes)].replace("http://", "ws://")
        return f"{url}/v1/gateways/{self.app_id}/{self.gateway_id}{query}"

    async def _read(self, connection: Connection, websocket: ClientConnection) -> None:
        while True:
            await self._reads.wait()
            self._take(connection, json.loads(await websocket.recv()), time.monotonic())

    def _take(self, connection: Connection, frame: dict[str, Any], now: float) -> None:
        code, data = frame["code"], frame["data"]
        if code in _PUSHES:
            content = digest(data["content"])
            connection.frames.append(
                Frame(code, now, frame["cursor"], False, "", data["messageId"], data["appId"], content,
                      data["status"])
            )  # fmt: skip
            self.cursor = frame["cursor"]
        elif code == _CONNECTED:
            connection.frames.append(Frame(code, now, frame["cursor"], frame["recovered"]))
            self.cursor = frame["cursor"]
            self.connection = connection
        elif code == _GAP:
            connection.frames.append(Frame(code, now, data["to"], gap_from=data["from"]))
            self.cursor = data["to"]
        elif code in (_ACKNOWLEDGED, _REFUSED) and data is not None:
            self._take_answer(data, now)

    def _take_answer(self, data: dict[str, Any], now: float) -> None:
        attempt = self._unanswered.pop(data.get("clientMessageId", ""), None)
        if attempt is None:
            return
        attempt.ended = now
        if "messageId" in data:
            attempt.answer, attempt.message_id = Answer.ACKNOWLEDGED, data["messageId"]
            self._history.acknowledgements += 1
        elif data["error"] != ErrorCode.INTERNAL:  # else it may be in the log
            attempt.answer = Answer.REFUSED
