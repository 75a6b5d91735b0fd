"""Gateways that read events over HTTP, go on from their cursor, and record every event."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
from imc_contracts.cursor import Cursor

from imc_testkit.events import path_of
from imc_testkit.gateways import RecordedGateway
from imc_testkit.history import Connection

_RETRY_SECONDS = 0.2
_WAIT_SECONDS = 2
_LIMIT = 20
"""So few that pages end before the log does."""

_TIMEOUT = httpx.Timeout(8, read=30)


class RecordedReader(RecordedGateway):
    """What both kinds share. It sends nothing."""

    node: int
    _reading: asyncio.Task[None] | None = None

    def drop(self) -> None:
        """Break off what is being read."""
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Read, and go on after each end at the next node, until cancelled."""
        try:
            while True:
                self._reading = asyncio.create_task(self._read_at(self._nodes[self.node % len(self._nodes)]))
                await asyncio.wait({self._reading})
                if not self._reading.cancelled() and (fault := self._reading.exception()):
                    raise fault
                self.connection = None
                self.node += 1
                await asyncio.sleep(_RETRY_SECONDS * (0.5 + self._random.random()))
        finally:
            self.drop()

    async def _read_at(self, url: str) -> None:
        """Read at one node, until it does not answer."""
        raise NotImplementedError

    def _begin(self) -> Connection:
        connection = Connection(self.app_id, self.gateway_id, self.node, self.cursor, time.monotonic())
        self._history.connections.append(connection)
        return connection


class RecordedStream(RecordedReader):
    """Reads an event stream."""

    async def _read_at(self, url: str) -> None:
        connection = self._begin()
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self.cursor} if self.cursor else {})}
        path = path_of(self.app_id, self.gateway_id)
        with contextlib.suppress(httpx.TransportError):
            async with (
                httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False) as client,
                client.stream("GET", path, headers=headers) as response,
            ):
                async for block in self._blocks(response):
                    text = block.partition(b"data: ")[2]
                    if text:
                        self._take(connection, json.loads(text), time.monotonic())

    async def _blocks(self, response: httpx.Response) -> AsyncGenerator[bytes]:
        rest = b""
        async for part in response.aiter_raw():
            await self._reads.wait()
            *blocks, rest = (rest + part).split(b"\n\n")
            for block in blocks:
                yield block


class RecordedPoll(RecordedReader):
    """Reads page by page. Each page is a connection of its own."""

    async def _read_at(self, url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False) as client:
            with contextlib.suppress(httpx.TransportError):
                while True:
                    await self._reads.wait()
                    connection = self._begin()
                    query = {"limit": _LIMIT, "wait": _WAIT_SECONDS, "cursor": self.cursor or ""}
                    reply = await client.get(path_of(self.app_id, self.gateway_id), params=query)
                    if reply.status_code != 200:
                        return
                    self._take_page(connection, reply.json()["data"])

    def _take_page(self, connection: Connection, page: dict[str, Any]) -> None:
        now, events = time.monotonic(), page["events"]
        begin = connection.offered if page["recovered"] else page["cursor"]
        if connection.offered is None and events:
            first = Cursor.parse(events[0]["cursor"])
            begin = str(Cursor(first.epoch, first.entry.preceding))
        connected = {"code": 2000, "data": None, "cursor": begin, "recovered": page["recovered"]}
        for frame in (connected, *events):
            self._take(connection, frame, now)
        self.cursor = page["cursor"]
