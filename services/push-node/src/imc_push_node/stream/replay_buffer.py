"""What was told to live gateways lately, kept for those that were too slow for a moment."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from imc_contracts.cursor import Cursor

REPLAY_BUFFER_BYTES = 4_194_304
REPLAY_BUFFER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Broadcast:
    """The frames that were written to every live gateway in one step, from one point to another."""

    start: Cursor
    end: Cursor
    frames: bytes
    """For gateways that want notices."""
    messages: bytes
    """For those that do not; the same object if there are no notices."""
    count: int
    messages_count: int
    at: float


class ReplayBuffer:
    """The last few seconds of an app, at most `REPLAY_BUFFER_BYTES` of them. A gap in it is never bridged."""

    def __init__(self) -> None:
        self._told: deque[Broadcast] = deque()
        self._numbers: dict[Cursor, int] = {}
        self._first = 0
        self._size = 0

    def append(self, told: Broadcast) -> None:
        """Keep ``told``, which follows what was kept last."""
        self._numbers[told.start] = self._first + len(self._told)
        self._told.append(told)
        self._size += len(told.frames)
        while self._size > REPLAY_BUFFER_BYTES:
            self._drop()

    def __contains__(self, point: Cursor) -> bool:
        """Whether what followed ``point`` is known here."""
        return point in self._numbers

    def after(self, point: Cursor) -> Iterator[Broadcast]:
        """All that was told after ``point``, oldest first; nothing if it is not known here."""
        number = self._numbers.get(point)
        return iter(()) if number is None else islice(self._told, number - self._first, None)

    def forget(self, before: float) -> None:
        """Drop what was told before that time of the loop's clock."""
        while self._told and self._told[0].at < before:
            self._drop()

    def clear(self) -> None:
        """Drop everything, when it may no longer be shown."""
        while self._told:
            self._drop()

    def _drop(self) -> None:
        told = self._told.popleft()
        self._first += 1
        self._size -= len(told.frames)
        del self._numbers[told.start]
