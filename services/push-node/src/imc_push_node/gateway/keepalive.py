"""Finding the peers that are gone without a word: every socket is pinged in its turn, all by one timer.

A peer that is read must answer. Of one that is not read just now, for whatever reason, the machine must
acknowledge: the kernel knows that, see `tcp`.

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
"""How long a peer may be silent after a ping: one that is gone is found within the sum of both, or, if it
took something within a wait for its answer, within another such wait."""

TURN_SECONDS = 0.25
"""Not all sockets are pinged at once; those of one turn are, so that their answers are read together."""

PING = b"\x89\x00"
"""Without a payload: whatever comes after it says that the peer is there."""

_PONG = b"\x8a\x80"
_HEAD_BYTES = 6
"""Of a masked frame (RFC 6455, section 5.2) with a payload shorter than 126 bytes."""


class PingedSocket(Protocol):
    """What is asked of a socket; see `GatewayWebSocket`."""

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
    """The signs of life of one socket. Reads where frames begin, for the pongs that need no parser."""

    __slots__ = (
        "_ping_ends_at",
        "_socket",
        "_taken_before",
        "is_at_frame",
        "is_silent",
        "turn",
        "was_paused",
    )

    def __init__(self, socket: PingedSocket) -> None:
        self._socket = socket
        self.is_silent = False
        """Whether nothing has come since the last ping."""
        self.is_at_frame = True
        """Whether what comes next is certainly the beginning of a frame."""
        self.was_paused = False
        """Whether reading was paused at some time since the ping, or since it was last asked about."""
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

        False if nothing was written: an answer to the last is still awaited, or the socket has ended.
        """
        socket = self._socket
        if self.is_silent or socket.has_ended:
            return False
        # To ask the kernel costs more than the ping, and is needless if nothing was written since the last.
        written = socket.written
        self._taken_before = written if written == self._ping_ends_at else socket.taken
        socket.write(PING)
        self._ping_ends_at = socket.written
        self.is_silent = True
        self.was_paused = socket.is_paused
        return True

    def ask(self, pong_seconds: float) -> bool:
        """To be called ``pong_seconds`` after a ping; whether to do so once more, as late again.

        If nothing has come the peer is gone, and the socket closed, unless it could not have answered yet.
        """
        socket = self._socket
        if not self.is_silent or socket.has_ended:
            return False
        before, self._taken_before = self._taken_before, socket.taken
        if socket.is_paused or self.was_paused:
            # Its pong may lie unread.
            self.was_paused = socket.is_paused
            if self._taken_before >= self._ping_ends_at:
                # Its machine is there, but may go while we do not read: it is pinged again in its turn.
                self.is_silent = False
                return False
            is_there = self._taken_before > before or not socket.is_unreachable(pong_seconds)
        else:
            # It may still take what was written ahead of the ping.
            is_there = before < self._ping_ends_at and self._taken_before > before
        if not is_there:
            socket.close(CloseCode.NO_PROGRESS, "no answer to a ping")
        return is_there

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
        # By lot: those that come together must not have their turn together. Not before a third of the time,
        # so that the greeting comes first, unless something holds it up for long.
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
        # A copy: a socket that has ended leaves the set.
        self._remember(ask_at, [pulse for pulse in list(self._turns[0]) if pulse.ping()])
        self._timer = None
        if self._pinged or any(self._turns):
            self._timer = loop.call_later(self._turn_seconds, self._next_turn)

    def _remember(self, ask_at: float, pulses: list[Pulse]) -> None:
        if pulses:
            self._pinged.append((ask_at, pulses))
