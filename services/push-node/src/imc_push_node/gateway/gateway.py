"""One gateway at this node: its socket, where it stands in the log, and why it is not read just now."""

from enum import Flag, auto
from typing import Protocol

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor
from imc_service.auth.grant import Grant, Scope

from imc_push_node.gateway import frames
from imc_push_node.gateway.broadcast_group import GroupSocket
from imc_push_node.gateway.push_format import PushFormat


class Socket(GroupSocket, Protocol):
    """What a gateway needs of its WebSocket. Everything written goes one way, in the order of the calls."""

    @property
    def is_full(self) -> bool:
        """Whether more is buffered than should be: write no pushes until there is room."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether it is closed or closing; what is written then is dropped."""
        ...

    @property
    def taken(self) -> int:
        """How many of the bytes written the peer's machine has acknowledged."""
        ...

    def write(self, frames: bytes) -> None:
        """Write encoded frames; never waits."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame after all that was written, and hang up soon, answered or not."""
        ...

    def pause_reading(self) -> None:
        """Take nothing more from the peer."""
        ...

    def resume_reading(self) -> None:
        """Take from the peer again."""
        ...


class SocketListener(Protocol):
    """Hears what happens to a socket. Called by the event loop's callbacks: must not raise or wait."""

    def on_texts(self, texts: list[bytes]) -> None:
        """The text frames of one wake-up, in order; all of them are UTF-8."""
        ...

    def on_full(self) -> None:
        """More is buffered than should be."""
        ...

    def on_room(self) -> None:
        """There is room again."""
        ...

    def on_end(self, code: CloseCode | None) -> None:
        """The socket is closed or closing, by `Socket.close` if there is a code; said once."""
        ...


class PauseReason(Flag):
    """Why a gateway is not read."""

    NONE = 0
    GREETING = auto()
    """It has not got its 2000 yet."""
    FORWARDS = auto()
    """What it sent waits for command-api."""
    BUFFER = auto()
    """It does not take what it is told, answers to its own frames among it."""
    LEAVING = auto()
    """It is about to be sent away."""


class Gateway:
    """One connection of a gateway."""

    __slots__ = (
        "_pauses",
        "app_id",
        "closing",
        "format",
        "gateway_id",
        "grant",
        "is_replaced",
        "is_resuming",
        "number",
        "offered",
        "position",
        "socket",
        "stuck_at",
        "stuck_since",
        "waiting_bytes",
    )

    def __init__(
        self, app_id: str, gateway_id: str, socket: Socket, grant: Grant, push_format: PushFormat
    ) -> None:
        self.app_id = app_id
        self.gateway_id = gateway_id
        self.socket = socket
        self.grant = grant
        """What its newest token allows."""
        self.format = push_format
        self.number = 0
        """The fencing number of this connection; 0 until it is registered."""
        self.offered: Cursor | None = None
        """The cursor it came with, until its 2000 is written."""
        self.is_resuming = False
        """Whether it still gets what it missed: from the log, which knows what was recalled since."""
        self.is_replaced = False
        """Whether a newer connection has its gatewayId, here or at another node."""
        self.position = Cursor(UNBORN, ORIGIN)
        """What it was told last. Kept while it lags only: a live gateway stands where its app does."""
        self.waiting_bytes = 0
        """Size of its sends that have no answer yet."""
        self.closing: tuple[CloseCode, str] | None = None
        self.stuck_at = -1
        self.stuck_since = 0.0
        self._pauses = PauseReason.GREETING
        socket.pause_reading()

    def may(self, scope: Scope) -> bool:
        """Whether its token allows this for its app."""
        return self.grant.allows(scope, self.app_id)

    def greet(self, point: Cursor, *, recovered: bool) -> None:
        """Write its 2000, if it has come with a cursor and has none yet."""
        if self.offered is not None:
            self.offered = None
            self.socket.write(frames.connected(point, self.format, recovered=recovered))
            self.resume(PauseReason.GREETING)

    def pause(self, reason: PauseReason) -> None:
        """Stop reading it, for ``reason`` too."""
        if not self._pauses:
            self.socket.pause_reading()
        self._pauses |= reason

    def resume(self, reason: PauseReason) -> None:
        """Read it again, unless another reason is left."""
        if self._pauses:
            self._pauses &= ~reason
            if not self._pauses:
                self.socket.resume_reading()

    def answered(self, size: int) -> None:
        """``size`` bytes of its sends have their answers."""
        self.waiting_bytes -= size
        if self.closing and not self.waiting_bytes:
            self.socket.close(*self.closing)

    def close_when_answered(self, code: CloseCode, reason: str) -> None:
        """Read no more of it, and close it once all that was read has its answer."""
        self.pause(PauseReason.LEAVING)
        self.closing = (code, reason)
        self.answered(0)

    def is_stuck(self, now: float, patience: float) -> bool:
        """Whether its full buffer has not moved for ``patience`` seconds. To be asked about once a second."""
        taken = self.socket.taken
        if taken != self.stuck_at:
            self.stuck_at, self.stuck_since = taken, now
        return now - self.stuck_since >= patience
