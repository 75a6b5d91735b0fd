"""Finding the peers that are gone without a word: every socket is pinged in its turn, all by one timer.

A timer of its own for each socket, a ping encoded for each and a pong parsed would be most of what an idle
gateway costs.
"""

import asyncio
import random
from collections import deque
from typing import Protocol

from imc_contracts.codes import CloseCode

PING_SECONDS = 15.0
"""Between two pings of a socket."""

PONG_SECONDS = 10.0
"""How long a peer may be silent after a ping: one that is gone is found within the sum of both."""

TURN_SECONDS = 0.25
"""Not all sockets are pinged at once; those of one turn are, so that their answers are read together."""

PING = b"\x89\x00"
"""Without a payload: whatever comes after it says that the peer is there."""

_PONG = b"\x8a\x80"
_HEAD_BYTES = 6
"""Of a masked frame (RFC 6455, section 5.2) with a payload shorter than 126 bytes."""


class PingedSocket(Protocol):
    """What is asked of a socket; see `GatewayProtocol`."""

    read_paused: bool
    has_ended: bool

    @property
    def written(self) -> int:
        """How many bytes were written so far."""
        ...

    @property
    def taken(self) -> int:
        """How many of them the peer's machine has acknowledged."""
        ...

    def write(self, frames: bytes) -> None:
        """Write encoded frames."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """End it."""
        ...


class Pulse:
    """The signs of life of one socket. Reads where frames begin, for the pongs that need no parser."""

    __slots__ = ("_ping_ends_at", "_socket", "_taken_before", "is_at_frame", "is_silent", "turn")

    def __init__(self, socket: PingedSocket) -> None:
        self._socket = socket
        self.is_silent = False
        """Whether nothing has come since the last ping."""
        self.is_at_frame = True
        """Whether what comes next is certainly the beginning of a frame."""
        self._ping_ends_at = 0
        self._taken_before = 0
        self.turn: set[Pulse] = set()

    def hear(self, data: bytes) -> bool:
        """Take note of what came. Whether it is no more than a pong."""
        self.is_silent = False
        if not self.is_at_frame:
            return False
        if len(data) == _HEAD_BYTES and data.startswith(_PONG):
            return True
        # One short frame, or else it is not known any more where the next one begins.
        size = len(data) - _HEAD_BYTES
        self.is_at_frame = 0 <= size < 126 and data[1] & 0x7F == size
        return False

    def ping(self) -> bool:
        """Write `PING`, noting where in the stream it is.

        False if nothing was written: an answer to the last is still awaited, or no greeting went before.
        """
        socket = self._socket
        if self.is_silent or socket.has_ended:
            return False
        if not socket.written:
            return False  # a gateway hears its 2000 before anything else, and is not read until then
        # To ask the kernel costs more than the ping, and is needless if nothing was written since the last.
        written = socket.written
        self._taken_before = written if written == self._ping_ends_at else socket.taken
        socket.write(PING)
        self._ping_ends_at = socket.written
        self.is_silent = True
        return True

    def ask(self) -> bool:
        """To be called `PONG_SECONDS` after a ping; whether to do so once more, as late again.

        If nothing has come the peer is gone, and the socket closed, unless it could not have answered yet.
        """
        socket = self._socket
        if not self.is_silent or socket.has_ended:
            return False
        taken = socket.taken
        is_behind_pushes = self._taken_before < self._ping_ends_at and taken > self._taken_before
        if socket.read_paused or is_behind_pushes:
            # We do not read its pong, or it still takes what was written ahead of the ping.
            self._taken_before = taken
            return True
        socket.close(CloseCode.NO_PROGRESS, "no answer to a ping")
        return False

    def end(self) -> None:
        """Ping no more."""
        self.turn.discard(self)


class Keepalive:
    """Pings sockets while there are any."""

    def __init__(self, ping_seconds: float = PING_SECONDS, pong_seconds: float = PONG_SECONDS) -> None:
        self._turn_seconds = min(TURN_SECONDS, ping_seconds / 2)
        self._pong_seconds = pong_seconds
        count = round(ping_seconds / self._turn_seconds)
        self._turns: deque[set[Pulse]] = deque(set[Pulse]() for _ in range(count))
        self._pinged: deque[tuple[float, list[Pulse]]] = deque()
        """Each with the time to ask them at."""
        self._timer: asyncio.TimerHandle | None = None

    def join(self, pulse: Pulse) -> None:
        """Ping from now on, until `Pulse.end`."""
        # By lot: those that come together must not have their turn together.
        pulse.turn = random.choice(self._turns)  # noqa: S311
        pulse.turn.add(pulse)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._turn_seconds, self._next_turn)

    def _next_turn(self) -> None:
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + self._pong_seconds
        while self._pinged and self._pinged[0][0] <= loop.time():
            self._remember(ask_at, [pulse for pulse in self._pinged.popleft()[1] if pulse.ask()])
        self._turns.rotate(-1)
        # A copy: a socket that has ended leaves the set.
        self._remember(ask_at, [pulse for pulse in list(self._turns[0]) if pulse.ping()])
        self._timer = None
        if self._pinged or any(self._turns):
            self._timer = loop.call_later(self._turn_seconds, self._next_turn)

    def _remember(self, ask_at: float, pulses: list[Pulse]) -> None:
        if pulses:
            self._pinged.append((ask_at, pulses))
