"""The events that were read and not handed out yet; a bounded number of them."""

import asyncio
from collections import deque

from imc_gateway.models import Event
from imc_gateway.positions import Position

Item = tuple[Event | None, Position]
"""An event, and where the gateway is once it is done with it; no event if it has moved without one."""


class Inbox:
    """Filled by the connection, emptied by the gateway's own loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._traded_at = 0.0
        self._full_since: float | None = None
        self._has_ended = False
        self._fault: Exception | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether it should take no more now."""
        return len(self._items) >= self._limit

    @property
    def idle_seconds(self) -> float:
        """For how long nothing has come or gone."""
        return asyncio.get_running_loop().time() - self._traded_at

    @property
    def full_seconds(self) -> float:
        """How long ago it became full, if it was not half empty since then; else 0."""
        return 0.0 if self._full_since is None else asyncio.get_running_loop().time() - self._full_since

    def put(self, event: Event, position: Position) -> None:
        """Add an event."""
        self._items.append((event, position))
        self._traded_at = asyncio.get_running_loop().time()
        if self.is_full and self._full_since is None:
            self._full_since = self._traded_at
        self._arrived.set()

    def move(self, position: Position) -> None:
        """Move on without an event: once what is here is handed out, the gateway is there."""
        event = self._items.pop()[0] if self._items else None
        self._items.append((event, position))
        self._arrived.set()

    def end(self, fault: Exception | None) -> None:
        """Nothing comes any more, because of ``fault`` if there is one."""
        self._has_ended = True
        self._fault = self._fault or fault
        self._arrived.set()

    async def get(self) -> Item:
        """The next event or move. Once ended and empty it raises the fault, or `StopAsyncIteration`."""
        while not self._items:
            if self._has_ended:
                raise self._fault or StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        self._traded_at = asyncio.get_running_loop().time()
        item = self._items.popleft()
        if len(self._items) <= self._limit // 2:
            self._full_since = None
        return item
