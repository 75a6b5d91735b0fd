"""One gateway at this node: its socket, its state and position, and why nothing is read from it."""

import time
from collections.abc import Collection
from enum import Enum, Flag, auto
from typing import NamedTuple, Protocol

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import ORIGIN, UNBORN, Cursor
from imc_contracts.scopes import Scope
from imc_service.auth.grant import Grant

from imc_push_node.gateway import frames
from imc_push_node.gateway.broadcast_group import GroupSocket
from imc_push_node.gateway.push_format import PushFormat


class Socket(GroupSocket, Protocol):
    """The WebSocket of a gateway, or what takes its place. What is written arrives in order."""

    @property
    def is_full(self) -> bool:
        """Whether the buffer is full: write no pushes until there is room."""
        ...

    @property
    def has_ended(self) -> bool:
        """Whether it is closed or closing. What is written then is dropped."""
        ...

    @property
    def taken(self) -> int:
        """How many of the bytes written the machine of the peer has acknowledged."""
        ...

    @property
    def ending(self) -> tuple[int, str]:
        """The close code and the reason, once it has ended: who ended it has said so, or 1006."""
        ...

    def write(self, frames: bytes) -> None:
        """Write encoded frames. Never waits."""
        ...

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame after all that was written. Hang up soon, even if it is not answered."""
        ...

    def pause_reading(self) -> None:
        """Read nothing more."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...


class SocketListener(Protocol):
    """Takes the events of a socket. Called by callbacks of the event loop: must not raise or wait."""

    def on_texts(self, texts: list[bytes]) -> None:
        """The text frames of one wake-up, in order. All are UTF-8."""
        ...

    def on_full(self) -> None:
        """The buffer is full."""
        ...

    def on_room(self) -> None:
        """The buffer has room again."""
        ...

    def on_end(self, code: CloseCode | None) -> None:
        """The socket is closed or closing, by `Socket.close` if there is a code. Called once."""
        ...


class State(Enum):
    """How a gateway gets its pushes. `Delivery` makes all transitions."""

    NEW = "new"
    """It gets none: `Delivery` does not know it yet."""
    CONNECTING = "connecting"
    """It gets none: the app is not followed, or the gateway is not registered yet."""
    LISTING = "listing"
    """It gets none: it has its 2000, and has not listed its groups yet."""
    LIVE = "live"
    """By broadcasts. It has everything up to the head."""
    LAGGING = "lagging"
    """By a replay, from the replay buffer or the log: it was live, and its buffer was full."""
    RESUMING = "resuming"
    """By a replay from the log. Memory serves only if no recall was missed since the gateway connected."""
    READING_ARCHIVE = "reading the archive"
    """By a replay from the database, since the log can't prove the gateway's position."""
    LEFT = "left"
    """It gets none any more."""


class Transport(Enum):
    """How a gateway gets the bytes of its pushes."""

    WEBSOCKET = "websocket"
    STREAM = "stream"
    """As events of a reply that lasts."""
    POLL = "poll"
    """As a page, for which it asks again and again."""


class PauseReason(Flag):
    """Why nothing is read from a gateway."""

    NONE = 0
    GREETING = auto()
    """Its 2000 is not written yet."""
    FORWARDS = auto()
    """Its sends wait for command-api."""
    BUFFER = auto()
    """Its buffer is full: it does not read its pushes, or the answers to its own frames."""
    LEAVING = auto()
    """It is about to be closed."""


class Amount(NamedTuple):
    """So many log entries, with so many bytes."""

    entries: int
    size: int

    def plus(self, other: "Amount") -> "Amount":
        """Both together."""
        return Amount(self.entries + other.entries, self.size + other.size)


class Gateway:
    """One connection of a gateway."""

    __slots__ = (
        "_pauses",
        "app_id",
        "closing",
        "connected_at",
        "format",
        "gateway_id",
        "grant",
        "groups",
        "has_listed",
        "is_replaced",
        "last_row",
        "number",
        "offered",
        "passed",
        "position",
        "sends_accepted",
        "sends_refused",
        "socket",
        "state",
        "stuck_at",
        "stuck_since",
        "told",
        "transport",
        "waiting_bytes",
    )

    def __init__(
        self,
        app_id: str,
        gateway_id: str,
        socket: Socket,
        grant: Grant,
        push_format: PushFormat,
        transport: Transport = Transport.WEBSOCKET,
        *,
        lists_groups: bool = False,
    ) -> None:
        """``lists_groups``: it gets only the events of groups that it lists."""
        self.app_id = app_id
        self.gateway_id = gateway_id
        self.socket = socket
        self.grant = grant
        """What its newest token allows."""
        self.format = push_format
        self.transport = transport
        self.groups: set[str] | None = set() if lists_groups else None
        """The groups that it holds; None if it gets the events of all groups."""
        self.has_listed = not lists_groups
        """Whether it has listed all groups that it begins with."""
        self.told: Cursor | None = None
        """The position that it was told last by a frame that is no push."""
        self.number = 0
        """The fencing number of this connection; 0 until it is registered."""
        self.connected_at = time.time_ns() // 1_000_000
        """In Unix milliseconds."""
        self.sends_accepted = 0
        self.sends_refused = 0
        self.state = State.NEW
        self.offered: Cursor | None = None
        """The cursor that it resumes from, until its 2000 is written."""
        self.position = Cursor(UNBORN, ORIGIN)
        """Its last push. Known during a replay only: a live gateway has the position of its app."""
        self.passed: Amount | None = None
        """What its app had counted at its position, during a replay; None where that is not known."""
        self.is_replaced = False
        """Whether a newer connection has its gatewayId, here or at another node."""
        self.waiting_bytes = 0
        """Bytes of its sends that have no answer yet."""
        self.closing: tuple[CloseCode, str] | None = None
        self.last_row: bytes | None = None
        """What the roster has of it after the node has closed it, if somebody has to look at that."""
        self.stuck_at = -1
        self.stuck_since = 0.0
        self._pauses = PauseReason.GREETING
        socket.pause_reading()

    def may(self, scope: Scope) -> bool:
        """Whether its token allows this for its app."""
        return self.grant.allows(scope, self.app_id)

    @property
    def is_greeted(self) -> bool:
        """Whether its 2000 is written."""
        return PauseReason.GREETING not in self._pauses

    def greet(self, cursor: Cursor, *, recovered: bool) -> None:
        """Write its 2000, unless it has one."""
        if not self.is_greeted:
            offered, self.offered, self.told = self.offered, None, cursor
            self.socket.write(frames.connected(cursor, self.format, recovered=recovered, offered=offered))
            self.resume(PauseReason.GREETING)

    def hold(self, added: Collection[str], removed: Collection[str]) -> None:
        """Change the groups that a gateway holds which lists them."""
        assert self.groups is not None, "it gets the events of all groups"
        self.groups.difference_update(removed)
        self.groups.update(added)

    def tell(self, position: Cursor, frame: bytes) -> None:
        """Write a frame that is no push, and tells the position up to which it has everything."""
        self.told = position
        self.socket.write(frame)

    def keep_row(self, row: bytes) -> None:
        """Note what the roster has of it after its end."""
        self.last_row = row

    def register(self, number: int) -> None:
        """Give this connection its fencing number."""
        self.number = number

    def replace(self) -> None:
        """Close this connection in favour of a newer one of its gatewayId."""
        self.is_replaced = True
        self.socket.close(CloseCode.REPLACED, "a newer connection of this gatewayId")

    def renew(self, grant: Grant) -> None:
        """Use what a newer token allows."""
        self.grant = grant

    def pause(self, reason: PauseReason) -> None:
        """Stop reading from it, for one more reason."""
        if not self._pauses:
            self.socket.pause_reading()
        self._pauses |= reason

    def resume(self, reason: PauseReason) -> None:
        """Read from it again, unless another reason is left."""
        if self._pauses:
            self._pauses &= ~reason
            if not self._pauses:
                self.socket.resume_reading()

    def submitted(self, size: int) -> None:
        """``size`` more bytes of its sends wait for their answers."""
        self.waiting_bytes += size

    def answered(self, size: int) -> None:
        """``size`` bytes of its sends have their answers."""
        self.waiting_bytes -= size
        if self.closing and not self.waiting_bytes:
            self.socket.close(*self.closing)

    def count_sends(self, *, accepted: int = 0, refused: int = 0) -> None:
        """Count sends that were answered."""
        self.sends_accepted += accepted
        self.sends_refused += refused

    def close_when_answered(self, code: CloseCode, reason: str) -> None:
        """Read nothing more from it, and close it once all that was read has its answer."""
        self.pause(PauseReason.LEAVING)
        self.closing = (code, reason)
        self.answered(0)

    def lag(self, told: Amount) -> Amount | None:
        """What its app has ``told`` and is not written to it yet; None where that is not known."""
        if self.state is State.LIVE:
            return Amount(0, 0)
        if self.passed is None:
            return None
        return Amount(max(0, told.entries - self.passed.entries), max(0, told.size - self.passed.size))

    def is_stuck(self, now: float, stall_seconds: float) -> bool:
        """Whether its full buffer has not moved for ``stall_seconds``. Call it about once a second."""
        taken = self.socket.taken
        if taken != self.stuck_at:
            self.stuck_at, self.stuck_since = taken, now
        return now - self.stuck_since >= stall_seconds
