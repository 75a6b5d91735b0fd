"""The pushes of the last seconds, kept for gateways that fell behind for a moment."""

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from imc_contracts.cursor import Cursor

from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.framed_entries import Pushes

REPLAY_BUFFER_BYTES = 4_194_304
REPLAY_BUFFER_SECONDS = 5.0


class Broadcast(NamedTuple):
    """What was written to all live gateways in one step, from one position to another."""

    start: Cursor
    end: Cursor
    pushes: Mapping[PushFormat, Pushes]
    """By format, for the formats of the gateways that were here."""
    entries: int
    """How many log entries it holds."""
    size: int
    """Bytes in memory."""
    at: float


class ReplayBuffer:
    """The broadcasts of an app, each following the one before, of at most `REPLAY_BUFFER_BYTES`."""

    def __init__(self) -> None:
        self._broadcasts: deque[Broadcast] = deque()
        self._numbers: dict[Cursor, int] = {}
        self._first = 0
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._broadcasts

    def append(self, broadcast: Broadcast) -> None:
        """Keep a broadcast that follows the one kept last."""
        if not broadcast.pushes:
            self.clear()
            return
        self._numbers[broadcast.start] = self._first + len(self._broadcasts)
        self._broadcasts.append(broadcast)
        self._size += broadcast.size
        while self._size > REPLAY_BUFFER_BYTES:
            self._drop()

    def holds_after(self, position: Cursor, push_format: PushFormat) -> bool:
        """Whether the broadcast that starts at ``position`` is here, in that format."""
        return next(self.after(position, push_format), None) is not None

    def after(self, position: Cursor, push_format: PushFormat) -> Iterator[tuple[Cursor, Pushes]]:
        """The pushes after ``position``, each with the position that follows it, oldest first.

        Ends before the first broadcast that was not encoded in that format.
        """
        number = self._numbers.get(position)
        if number is None:
            return
        for broadcast in islice(self._broadcasts, number - self._first, None):
            pushes = broadcast.pushes.get(push_format)
            if pushes is None:
                return
            yield broadcast.end, pushes

    def forget(self, before: float) -> None:
        """Drop broadcasts of before that time of the loop's clock."""
        while self._broadcasts and self._broadcasts[0].at < before:
            self._drop()

    def clear(self) -> None:
        """Drop everything, when it may no longer be shown."""
        while self._broadcasts:
            self._drop()

    def _drop(self) -> None:
        broadcast = self._broadcasts.popleft()
        self._first += 1
        self._size -= broadcast.size
        del self._numbers[broadcast.start]
