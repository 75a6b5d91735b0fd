"""Finds peers that are gone without a close. One timer pings all sockets, each in its turn.

A peer that the node reads must answer its ping. If the node does not read it just now, its machine must
acknowledge the bytes of the ping: the kernel knows that, see `tcp`.

One timer for each socket, with a ping to encode and a pong to parse, would be most of the cost of an idle
gateway.
"""

import asyncio
import random
from collections import deque
from typing import Protocol

from imc_contracts.codes import CloseCode

PING_SECONDS = 20.0
"""The time between two pings of a socket."""

PONG_SECONDS = 8.0
"""How long a peer may be silent after a ping. A peer that is gone is found within the sum of both times, or
one such wait later if it took some bytes during the first."""

TURN_SECONDS = 0.5
"""The time between two turns. Sockets of one turn are pinged together, so that their answers are read
together."""

PING = b"\x89\x00"
"""A ping without a payload: any byte that comes after it proves that the peer is there."""

_PONG = b"\x8a\x80"
_HEAD_BYTES = 6
"""The head of a masked frame (RFC 6455, section 5.2) with a payload shorter than 126 bytes."""


class PingedSocket(Protocol):
    """A socket that can be pinged; see `GatewayWebSocket`."""

    is_paused: bool
    has_ended: bool

    @property
    def written(self) -> int:
        """How many bytes were written so far."""
        ...

    @property
    def taken(self) -> int:
        """How many of them the peer's machine has acknowledged."""
        ...

    def is_unreachable(self, seconds: float) -> bool:
        """Whether its machine has said nothing for so long, while something is on its way to it."""
        ...

    def write(self, frames: bytes) -> None:
        """Write encoded frames."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """End it."""
        ...


class Pulse:
    """The signs of life of one socket. Recognizes the pongs that need no parser, by where frames begin."""

    __slots__ = (
        "_ping",
        "_ping_ends_at",
        "_socket",
        "_taken_before",
        "is_at_frame",
        "is_silent",
        "turn",
        "was_paused",
    )

    def __init__(self, socket: PingedSocket, ping: bytes = PING) -> None:
        self._socket = socket
        self._ping = ping
        self.is_silent = False
        """Whether nothing has come since the last ping."""
        self.is_at_frame = True
        """Whether the next byte is certainly the first of a frame."""
        self.was_paused = False
        """Whether reading was paused at some time since the ping, or since the last `ask`."""
        self._ping_ends_at = 0
        self._taken_before = 0
        self.turn: set[Pulse] = set()

    def hear(self, data: bytes) -> bool:
        """Note that bytes came. Returns whether they are one pong and nothing else."""
        self.is_silent = False
        if not self.is_at_frame:
            return False
        if len(data) == _HEAD_BYTES and data.startswith(_PONG):
            return True
        # If this is not one short frame, it is not known any more where the next frame begins.
        size = len(data) - _HEAD_BYTES
        self.is_at_frame = 0 <= size < 126 and data[1] & 0x7F == size
        return False

    def ping(self) -> bool:
        """Write a ping, and note its place in the stream.

        Returns False if none was written: the last one has no answer yet, or the socket has ended.
        """
        socket = self._socket
        if self.is_silent or socket.has_ended:
            return False
        # A call of the kernel costs more than the ping. It is needless if nothing was written since the last.
        written = socket.written
        self._taken_before = written if written == self._ping_ends_at else socket.taken
        socket.write(self._ping)
        self._ping_ends_at = socket.written
        self.is_silent = True
        self.was_paused = socket.is_paused
        return True

    def ask(self, pong_seconds: float) -> bool:
        """Close the socket if its peer is gone. Call it ``pong_seconds`` after a ping.

        Returns whether to call it again after as long: the peer was silent, but could not have answered yet.
        """
        socket = self._socket
        if not self.is_silent or socket.has_ended:
            return False
        before, self._taken_before = self._taken_before, socket.taken
        if socket.is_paused or self.was_paused:
            # Its pong may lie unread.
            self.was_paused = socket.is_paused
            if self._taken_before >= self._ping_ends_at:
                # Its machine is there now, but may go while we do not read. The next turn pings it again.
                self.is_silent = False
                return False
            is_there = self._taken_before > before or not socket.is_unreachable(pong_seconds)
        else:
            # It may still take what was written ahead of the ping.
            is_there = before < self._ping_ends_at and self._taken_before > before
        if not is_there:
            socket.close(CloseCode.NO_PROGRESS, "no progress: no answer to a ping")
        return is_there

    def end(self) -> None:
        """Stop the pings."""
        self.turn.discard(self)


class Keepalive:
    """Pings all sockets of a process, while there are any."""

    def __init__(self, ping_seconds: float = PING_SECONDS, pong_seconds: float = PONG_SECONDS) -> None:
        self._turn_seconds = min(TURN_SECONDS, ping_seconds / 2)
        self._pong_seconds = pong_seconds
        count = round(ping_seconds / self._turn_seconds)
        self._turns: deque[set[Pulse]] = deque(set[Pulse]() for _ in range(count))
        self._pinged: deque[tuple[float, list[Pulse]]] = deque()
        """Those that were pinged, with the time of their next `Pulse.ask`."""
        self._timer: asyncio.TimerHandle | None = None

    def join(self, pulse: Pulse) -> None:
        """Ping a socket until `Pulse.end`."""
        # At random: sockets that connect together must not share a turn. Not in the first third of the time,
        # so that the greeting comes before the first ping.
        later = random.randrange(len(self._turns) // 3, len(self._turns))  # noqa: S311
        pulse.turn = self._turns[later]
        pulse.turn.add(pulse)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._turn_seconds, self._next_turn)

    def _next_turn(self) -> None:
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + self._pong_seconds
        while self._pinged and self._pinged[0][0] <= loop.time():
            self._remember(
                ask_at, [pulse for pulse in self._pinged.popleft()[1] if pulse.ask(self._pong_seconds)]
            )
        self._turns.rotate(-1)
        # A copy, since a socket that ends leaves the set.
        self._remember(ask_at, [pulse for pulse in list(self._turns[0]) if pulse.ping()])
        self._timer = None
        if self._pinged or any(self._turns):
            self._timer = loop.call_later(self._turn_seconds, self._next_turn)

    def _remember(self, ask_at: float, pulses: list[Pulse]) -> None:
        if pulses:
            self._pinged.append((ask_at, pulses))
