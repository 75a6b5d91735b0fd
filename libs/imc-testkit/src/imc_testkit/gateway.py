"""A minimal gateway that keeps all frames it receives."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed

from imc_testkit.waiting import wait_until

Frame = dict[str, Any]


class Gateway:
    """One WebSocket connection of a gateway. Use `connect` to open it."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.frames: list[Frame] = []
        """All frames so far as parsed JSON, in order of arrival."""

    @property
    def cursor(self) -> str | None:
        """The newest cursor received, to resume from."""
        return next((frame["cursor"] for frame in reversed(self.frames) if frame.get("cursor")), None)

    @property
    def close_code(self) -> int | None:
        """The close code, or None while the connection is open."""
        return self.websocket.close_code

    def with_code(self, code: int) -> list[Frame]:
        """The frames with this code so far."""
        return [frame for frame in self.frames if frame["code"] == code]

    async def wait_for(self, predicate: Callable[[Frame], bool], timeout: float = 10.0) -> Frame:
        """Wait for the first frame, past ones included, for which ``predicate`` is true.

        Raises `AssertionError` if none arrives in time, or the connection ends first.
        """

        def find() -> Frame | None:
            found = next((frame for frame in self.frames if predicate(frame)), None)
            assert found or self.close_code is None, f"closed with {self.close_code}; got {self.frames}"
            return found

        try:
            return await wait_until(find, timeout, 0.002) or {}
        except AssertionError as error:
            raise AssertionError(f"{error}; frames so far: {self.frames[-20:]}") from None

    async def wait_for_code(self, code: int, count: int = 1, timeout: float = 10.0) -> list[Frame]:
        """Wait until ``count`` frames with this code have arrived; return them."""
        await wait_until(
            lambda: len(self.with_code(code)) >= count,
            timeout,
            0.002,
            what=f"{count} frames with code {code}",
        )
        return self.with_code(code)

    async def wait_closed(self, timeout: float = 10.0) -> int:
        """Wait until the connection has ended; return the close code."""
        return await wait_until(lambda: self.close_code, timeout, what="the end of the connection") or 0

    async def send_json(self, value: Any) -> None:
        """Send a value as a text frame."""
        await self.websocket.send(json.dumps(value, ensure_ascii=False))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is."""
        await self.websocket.send(text)

    async def keep_reading(self) -> None:
        """Receive frames until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.frames.append(json.loads(await self.websocket.recv()))


@contextlib.asynccontextmanager
async def connect(
    url: str,
    app_id: str,
    gateway_id: str,
    cursor: str | None = None,
    notices: bool = False,
    **options: Any,
) -> AsyncGenerator[Gateway]:
    """Connect to the push-node at ``url`` (``http://`` or ``ws://``, host and port), and receive frames.

    ``options`` are passed to `websockets`, for example ``additional_headers``.
    """
    query = urlencode({**({"cursor": cursor} if cursor else {}), **({"notices": "1"} if notices else {})})
    path = f"/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}"
    async with connect_at(url + path + (f"?{query}" if query else ""), **options) as gateway:
        yield gateway


@contextlib.asynccontextmanager
async def connect_at(url: str, **options: Any) -> AsyncGenerator[Gateway]:
    """As `connect`, with a complete URL."""
    address = url.replace("http://", "ws://", 1)
    async with connect_websocket(address, proxy=None, max_size=None, **options) as websocket:
        gateway = Gateway(websocket)
        reading = asyncio.create_task(gateway.keep_reading())
        try:
            yield gateway
        finally:
            await websocket.close()
            await reading
