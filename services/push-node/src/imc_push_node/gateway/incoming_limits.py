"""Limits of what gateways write besides complete messages.

Unfinished frames take memory. Pings, pongs and tiny fragments take time. None of them carries a message.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from imc_contracts.codes import CloseCode
from prometheus_client import CollectorRegistry, Counter, Gauge


class Writer(Protocol):
    """A socket whose peer has begun a frame; see `GatewayWebSocket`."""

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close the socket, and discard its unfinished frame."""
        ...


@dataclass(slots=True)
class _Begun:
    since: float
    size: int


class UnfinishedFrames:
    """The frames and messages that the gateways of a node have begun and not completed."""

    def __init__(self, seconds: float, node_bytes: int, failed: Counter, size: Gauge) -> None:
        self._seconds = seconds
        self._node_bytes = node_bytes
        self._late, self._over = failed.labels("late"), failed.labels("space")
        size.set_function(lambda: self._size)
        self._size = 0
        self._begun: dict[Writer, _Begun] = {}
        """The oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def note(self, writer: Writer, size: int, *, is_new: bool) -> None:
        """Note that ``size`` bytes of a frame are here. ``is_new`` if an earlier frame has ended."""
        now = asyncio.get_running_loop().time()
        if is_new:
            self.forget(writer)
        begun = self._begun.setdefault(writer, _Begun(now, 0))
        self._size += size - begun.size
        begun.size = size
        if self._timer is None:
            self._look_at(now + self._seconds)
        while self._size > self._node_bytes:
            self._make_room()

    def forget(self, writer: Writer) -> None:
        """Note that nothing of ``writer`` is unfinished any more."""
        begun = self._begun.pop(writer, None)
        if begun is not None:
            self._size -= begun.size

    def _make_room(self) -> None:
        # The oldest that takes more than its share. Frames of honest gateways are small, or soon complete.
        share = self._node_bytes / len(self._begun)
        writer = next(writer for writer, begun in self._begun.items() if begun.size > share)
        self._fail(writer, CloseCode.TRY_AGAIN_LATER, "the node has too many unfinished frames: try again")
        self._over.inc()

    def _look_at(self, due: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._begun:
            writer, begun = next(iter(self._begun.items()))
            if begun.since + self._seconds > now:
                self._look_at(begun.since + self._seconds)
                return
            reason = f"no progress: a frame took more than {self._seconds:g} seconds"
            self._fail(writer, CloseCode.NO_PROGRESS, reason)
            self._late.inc()

    def _fail(self, writer: Writer, code: CloseCode, reason: str) -> None:
        self.forget(writer)
        writer.fail(code, reason)


class IncomingLimits:
    """The limits of one node, and their metrics."""

    def __init__(
        self,
        idle_frames_per_minute: int,
        frame_seconds: float,
        unfinished_bytes: int,
        registry: CollectorRegistry,
    ) -> None:
        self.idle_frames_per_minute = idle_frames_per_minute
        failed = Counter(
            "imc_gateway_frame_failures",
            "Gateways closed for what they wrote: late (a frame took too long), space (the node had too many "
            "unfinished frames), flood (too many frames that carry no message).",
            ["limit"],
            registry=registry,
        )
        self.floods = failed.labels("flood")
        size = Gauge(
            "imc_gateway_unfinished_bytes", "Bytes of frames that are not complete.", registry=registry
        )
        self.unfinished = UnfinishedFrames(frame_seconds, unfinished_bytes, failed, size)
