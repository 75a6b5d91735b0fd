"""A page of events: what is pushed to a gateway until there is enough for a reply.

It takes the place of a socket. So a page is made by the same steps as the pushes of a WebSocket, and holds
the same events in the same order.
"""

import asyncio
import contextlib
from collections.abc import Callable

import orjson
from imc_contracts.codes import CloseCode

from imc_push_node.gateway.broadcast_group import BroadcastGroup, Write
from imc_push_node.gateway.gateway import SocketListener

READ_SECONDS = 15.0
"""How long it may take to read up to the head of the log. What is there by then is the page."""

_ID, _DATA, _END = b"id: ", b"data: ", b"\n\n"


class EventPage:
    """The `Socket` of a gateway that asks for one page of at most ``limit`` events."""

    taken = 0
    ending = (int(CloseCode.GOING_AWAY), "")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = 0
        self._listener: SocketListener | None = None
        self._changed = asyncio.Event()
        self.events: list[bytes] = []
        """The envelopes, as JSON."""
        self.cursor: str | None = None
        """Where to go on from after the last event; None until the gateway is connected."""
        self.recovered = False
        """Whether a cursor was offered, and everything after it follows."""
        self.is_live = False
        """Whether it has everything up to the head."""
        self.is_full = False
        self.has_ended = False

    async def gathered(self, wait: float) -> None:
        """Wait until the page is full, or has all that there is.

        If there is nothing, wait up to ``wait`` seconds for the first event.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READ_SECONDS):
                await self._until(lambda: self.is_live)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._until(lambda: bool(self.events))

    def end(self) -> None:
        """Take no more events: the gateway leaves."""
        self._end(None)

    # What the node calls.

    def listen(self, listener: SocketListener, buffer_bytes: int, *, ignores_binary: bool = False) -> None:
        """Tell ``listener`` about the end. The page is full with about ``buffer_bytes``."""
        self._listener = listener
        self._room = buffer_bytes

    def write(self, frames: bytes) -> None:
        """Take encoded events, as far as there is room."""
        begin = 0
        while begin < len(frames) and not (self.is_full or self.has_ended):
            end = frames.index(_END, begin) + len(_END)
            self._take(frames[begin:end])
            begin = end
        self._changed.set()

    def enter(self, group: BroadcastGroup) -> Write:
        """The gateway is live."""
        self.is_live = True
        self._changed.set()
        return self.write

    def leave(self) -> None:
        """It is not live any more."""
        self.is_live = False

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Take no more events; the reply says why."""
        if not self.has_ended:
            self.ending = (code, reason)
            self._end(code)

    def pause_reading(self) -> None:
        """Do nothing: there is nothing to read."""

    def resume_reading(self) -> None:
        """Do nothing, as `pause_reading`."""

    def _take(self, event: bytes) -> None:
        head, _, payload = event.removesuffix(_END).partition(_DATA)
        if self.cursor is None:
            # The 2000, or the 4000, which comes before all else.
            self.recovered = orjson.loads(payload).get("recovered", False)
        elif len(self.events) >= self._limit or (self.events and len(payload) > self._room):
            self.is_full = True
            return
        else:
            self.events.append(payload)
            self._room -= len(payload)
        if head:
            self.cursor = head.removeprefix(_ID).strip().decode()

    def _end(self, code: CloseCode | None) -> None:
        if not self.has_ended:
            self.has_ended = True
            self._changed.set()
            if self._listener is not None:
                self._listener.on_end(code)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not (is_so() or self.is_full or self.has_ended):
            self._changed.clear()
            await self._changed.wait()
