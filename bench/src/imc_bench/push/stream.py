"""Compares the frames that the gateways of one app receive, byte for byte, as they arrive.

All gateways of an app get the same frames in the same order, so that one copy is enough. The first gateway
that receives a frame adds it to the copy. The bytes of all others must equal it, which costs one ``memcmp``
per read and no parsing. `imc_bench.push.order` parses the copy once.
"""

from collections.abc import Callable

CLOSE, PING, PONG = 0x88, 0x89, 0x8A


class Stream:
    """The data frames of one app, in order. They can be cleared when every gateway has them."""

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self.frames = bytearray()
        self.count = 0
        """The number of frames."""
        self.faults: list[str] = []

    def clear(self) -> None:
        """Discard the frames."""
        self.frames.clear()
        self.count = 0


class Reading:
    """The progress of one gateway in the stream of its app. Does no I/O."""

    __slots__ = ("_name", "_on_control", "_pending", "position", "stream")

    def __init__(self, stream: Stream, name: str, on_control: Callable[[int, bytes], None]) -> None:
        self.stream = stream
        self.position = 0
        """How many bytes of the stream the gateway has received."""
        self._name = name
        self._on_control = on_control
        self._pending = b""

    @property
    def is_at_end(self) -> bool:
        """Whether the gateway has everything that any gateway has."""
        return self.position == len(self.stream.frames) and not self._pending

    def take(self, data: memoryview) -> None:
        """Take received bytes, which may end in the middle of a frame."""
        if not self._pending and self.stream.frames.startswith(data, self.position):
            self.position += len(data)
        else:
            self._take_new(self._pending + bytes(data))

    def _take_new(self, data: bytes) -> None:
        """The slow path: bytes that no other gateway has received yet, and control frames."""
        frames = self.stream.frames
        while data:
            known = common_length(data, frames, self.position)
            self.position += known
            data = data[known:]
            if not data:
                break
            if self.position == len(frames) or data[0] in (CLOSE, PING, PONG):
                frame = first_frame(data)
                if frame is None:
                    break
                begin, end = frame
                if data[0] in (CLOSE, PING, PONG):
                    self._on_control(data[0], data[begin:end])
                else:
                    frames += data[:end]
                    self.stream.count += 1
                    self.position += end
                data = data[end:]
            else:
                where = f"byte {self.position} of {len(frames)}"
                got, wanted = data[:80], bytes(frames[self.position : self.position + 80])
                self.stream.faults.append(f"{self._name} received {got!r}, not {wanted!r} at {where}")
                self.position = len(frames)
                data = b""
        self._pending = data


def first_frame(data: bytes) -> tuple[int, int] | None:
    """Where the payload of the first unmasked frame begins and ends, or None if it is incomplete."""
    if len(data) < 2:
        return None
    begin, length = 2, data[1]
    if length == 126:
        begin, length = 4, int.from_bytes(data[2:4])
    elif length == 127:
        begin, length = 10, int.from_bytes(data[2:10])
    return (begin, begin + length) if len(data) >= max(begin + length, begin) else None


def common_length(data: bytes, frames: bytearray, position: int) -> int:
    """The length of the common prefix of ``data`` and ``frames`` from ``position``."""
    low, high = 0, min(len(data), len(frames) - position)
    if frames.startswith(data[:high], position):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if frames.startswith(data[low:middle], position + low):
            low = middle
        else:
            high = middle
    return low
