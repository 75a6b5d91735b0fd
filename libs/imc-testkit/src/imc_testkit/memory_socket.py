"""A WebSocket in memory whose peer can stop reading."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from imc_contracts.codes import CloseCode

Frame = dict[str, Any]


class MemorySocket:
    """The socket that a push-node writes to. ``on_frame`` is called with each frame, as parsed JSON."""

    def __init__(self, on_frame: Callable[[Frame], None]) -> None:
        self._on_frame = on_frame
        self._listener: Any = None
        self._buffer_bytes = 0
        self._waiting = 0
        self._is_read = True
        self.is_full = False
        self.is_paused = False
        """Whether the node reads nothing from it."""
        self.has_ended = False
        self.taken = 0
        self.close_code: CloseCode | None = None

    def listen(self, listener: Any, buffer_bytes: int, *, ignores_binary: bool = False) -> None:
        """Report events to ``listener``. The socket is full when ``buffer_bytes`` wait for the peer.

        No peer of it writes binary frames, so that ``ignores_binary`` changes nothing.
        """
        self._listener = listener
        self._buffer_bytes = buffer_bytes

    def write(self, frames: bytes) -> None:
        """Write encoded frames."""
        if self.has_ended:
            return
        for text in _texts(frames):
            self._on_frame(json.loads(text))
        self._waiting += len(frames)
        if self._is_read:
            self._take()
        elif self._waiting > self._buffer_bytes and not self.is_full:
            self.is_full = True
            if self._listener is not None:
                self._listener.on_full()

    def enter(self, group: Any) -> Callable[[bytes], None]:
        """Join a broadcast group of the node, which writes with the returned function."""
        return self.write

    def leave(self) -> None:
        """Leave the broadcast group."""

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Close the connection, as the node."""
        self._end(code)

    @property
    def ending(self) -> tuple[int, str]:
        """The close code, once it has ended, without a reason."""
        return (1006 if self.close_code is None else self.close_code), ""

    def pause_reading(self) -> None:
        """Read nothing from the peer."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Read from the peer again."""
        self.is_paused = False

    def say(self, frame: Frame) -> None:
        """Write a frame, as the peer. The node must read."""
        assert not self.is_paused, "the node does not read"
        self._listener.on_texts([json.dumps(frame).encode()])

    def stall(self) -> None:
        """Let the peer stop reading."""
        self._is_read = False

    def drain(self) -> None:
        """Let the peer read everything that waits, and continue to read."""
        self._is_read = True
        self._take()

    def hang_up(self) -> None:
        """End the connection, as the peer."""
        self._end(None)

    def _take(self) -> None:
        self.taken, self._waiting = self.taken + self._waiting, 0
        if self.is_full:
            self.is_full = False
            if not self.has_ended:
                self._listener.on_room()

    def _end(self, code: CloseCode | None) -> None:
        if not self.has_ended:
            self.has_ended, self.close_code = True, code
            if self._listener is not None:
                self._listener.on_end(code)


def _texts(frames: bytes) -> Iterator[bytes]:
    """Yield the payloads of unmasked WebSocket text frames (RFC 6455, section 5.2), or of events."""
    if not frames.startswith(b"\x81"):
        *events, rest = frames.split(b"\n\n")
        assert not rest, "not whole events"
        yield from (event.partition(b"data: ")[2] for event in events)
        return
    at = 0
    while at < len(frames):
        assert frames[at] == 0x81, "not one whole text frame"
        size, at = frames[at + 1], at + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(frames[at : at + width], "big"), at + width
        yield frames[at : at + size]
        at += size
