"""A minimal client of the events of an app over HTTP: pages, and a stream that keeps all it receives."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

import httpx

from imc_testkit.gateway import Frame, Gateway

ABNORMAL = 1006
LAST_CODES = frozenset({1001, 1012, 1013, 4401, 4403, 4408, 4409, 4410})
"""The codes of a stream's last event."""


class EventStream(Gateway):
    """One event stream of a gateway. Use `stream` to open it."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ids: list[str | None] = []
        """Of each frame the id of its event."""
        self.comments = 0
        self.has_ended = False

    @property
    def last_id(self) -> str | None:
        """What a browser would send as Last-Event-ID."""
        return next((each for each in reversed(self.ids) if each is not None), None)

    @property
    def close_code(self) -> int | None:
        """The code of the last event if it tells why the stream ends, else 1006; None while it is open."""
        if not self.has_ended:
            return None
        code = self.frames[-1]["code"] if self.frames else ABNORMAL
        return code if code in LAST_CODES else ABNORMAL

    def take(self, block: bytes) -> None:
        """Take what is between two empty lines."""
        # Of the line breaks that Python knows only this one is written.
        fields = (line.partition(b": ") for line in block.split(b"\n"))
        values = {name: value for name, _, value in fields}
        if b"data" in values:
            self.frames.append(json.loads(values[b"data"]))
            self.ids.append(values[b"id"].decode() if b"id" in values else None)
        elif block.startswith(b":"):
            self.comments += 1

    async def keep_reading_from(self, response: httpx.Response) -> None:
        """Receive events until the stream ends."""
        rest = b""
        try:
            async for part in response.aiter_raw():
                *blocks, rest = (rest + part).split(b"\n\n")
                for block in blocks:
                    self.take(block)
        except httpx.TransportError:
            pass  # the node, or the way to it, is gone
        finally:
            self.has_ended = True


def path_of(app_id: str, gateway_id: str) -> str:
    """The path of the events of an app for a gateway."""
    return f"/v1/gateways/{quote(app_id, safe='')}/{quote(gateway_id, safe='')}/events"


def _texts(query: dict[str, Any]) -> dict[str, str]:
    # A cursor is a tuple, which would become several parameters.
    return {name: str(value) for name, value in query.items()}


@contextlib.asynccontextmanager
async def stream(
    url: str, app_id: str, gateway_id: str, *, headers: dict[str, str] | None = None, **query: Any
) -> AsyncGenerator[EventStream]:
    """Open an event stream at the push-node at ``url``, and receive events; ``query`` are its parameters."""
    accept = {"Accept": "text/event-stream", **(headers or {})}
    async with (
        httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(10, read=60), trust_env=False) as client,
        client.stream("GET", path_of(app_id, gateway_id), params=_texts(query), headers=accept) as response,
    ):
        if response.status_code != 200:
            await response.aread()
            response.raise_for_status()
        opened = EventStream()
        reading = asyncio.create_task(opened.keep_reading_from(response))
        try:
            yield opened
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading


async def read_page(url: str, app_id: str, gateway_id: str, **query: Any) -> httpx.Response:
    """Ask for one page of events; ``query`` are its parameters."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        return await client.get(path_of(app_id, gateway_id), params=_texts(query))
