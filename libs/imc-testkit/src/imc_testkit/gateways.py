"""A gateway that reconnects with its cursor, and records every frame."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

from imc_contracts.codes import ErrorCode, PushCode
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from imc_testkit.clients import Clients, Draft
from imc_testkit.history import Answer, Attempt, Connection, Frame, History, digest

_PUSHES, _ACKNOWLEDGED, _REFUSED, _CONNECTED, _GAP = (2001, 2002), 2003, 4001, 2000, 4002
_GROUPS_HELD, _POSITION = 2007, 2008
_CONNECT_SECONDS = 8.0
_SEND_SECONDS = 5.0
_RETRY_SECONDS = 0.2


class RecordedGateway:
    """Stays connected while `run` runs. Other methods act on the newest connection. ``nodes`` are URLs.

    With ``groups`` it lists these, and gets no events of others.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        history: History,
        clients: Clients,
        app_id: str,
        gateway_id: str,
        node: int = 0,
        cursor: str | None = None,
        groups: Sequence[str] = (),
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
        self._groups = set(groups)
        self.lists_groups = bool(groups)
        self._asked: deque[tuple[str, ...]] = deque()
        """What it holds after each change of groups that has no answer yet."""

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

    async def change_groups(self, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Hold other groups; on the next connection only, while disconnected or stalled.

        The answer tells the position, so that a change of nothing asks for that.
        """
        self._groups = self._groups.difference(remove).union(add)
        websocket = self._websocket
        if websocket is not None and self.connection is not None and self._reads.is_set():
            await self._write_groups(
                websocket, {"addGroups": [*add], "removeGroups": [*remove]}, self._groups
            )

    async def _list_groups(self, websocket: ClientConnection) -> None:
        """List the groups on a new connection, in two frames."""
        first, *others = sorted(self._groups)
        await self._write_groups(websocket, {"addGroups": [first], "more": True}, [first])
        await self._write_groups(websocket, {"addGroups": others}, [first, *others])

    async def _write_groups(
        self, websocket: ClientConnection, frame: dict[str, Any], groups: Iterable[str]
    ) -> None:
        self._asked.append(tuple(groups))
        with contextlib.suppress(ConnectionClosed):
            await websocket.send(json.dumps(frame))

    async def run(self) -> None:
        """Connect, and reconnect after each end, until cancelled."""
        while True:
            connection = Connection(self.app_id, self.gateway_id, self.node, self.cursor, time.monotonic())
            connection.lists_groups = self.lists_groups
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
                self._asked.clear()
            self.node += 1
            if not connection.frames:
                await asyncio.sleep(_RETRY_SECONDS * (0.5 + self._random.random()))

    def _address(self) -> str:
        parameters = {"cursor": self.cursor, "groups": "listed" if self.lists_groups else None}
        query = "?" + urlencode({name: value for name, value in parameters.items() if value})
        url = self._nodes[self.node % len(self._nodes)].replace("http://", "ws://")
        return f"{url}/v1/gateways/{self.app_id}/{self.gateway_id}{query}"

    async def _read(self, connection: Connection, websocket: ClientConnection) -> None:
        while True:
            await self._reads.wait()
            frame = json.loads(await websocket.recv())
            self._take(connection, frame, time.monotonic())
            if self.lists_groups and frame["code"] == _CONNECTED:
                await self._list_groups(websocket)

    def _take(self, connection: Connection, frame: dict[str, Any], now: float) -> None:
        code, data = frame["code"], frame["data"]
        if code in _PUSHES:
            content = digest(data["content"])
            connection.frames.append(
                Frame(code, now, frame["cursor"], False, "", data["messageId"], data["appId"], content,
                      data["status"])
            )  # fmt: skip
            self.cursor = frame["cursor"]
        elif code == PushCode.ERASED:
            erasure_id, app_id = data["erasureId"], data["appId"]
            connection.frames.append(Frame(code, now, frame["cursor"], message_id=erasure_id, app_id=app_id))
            self.cursor = frame["cursor"]
        elif code == _CONNECTED:
            connection.frames.append(Frame(code, now, frame["cursor"], frame["recovered"]))
            # As gateways are told to: else it would not offer the old one, if it goes before the 4002 comes.
            self.cursor = self.cursor or frame["cursor"]
            self.connection = connection
        elif code == _GAP:
            connection.frames.append(Frame(code, now, data["to"], gap_from=data["from"]))
            self.cursor = data["to"]
        elif code in (_GROUPS_HELD, _POSITION):
            groups = self._asked.popleft() if code == _GROUPS_HELD else ()
            connection.frames.append(Frame(code, now, frame["cursor"], groups=groups))
            self.cursor = frame["cursor"]
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
