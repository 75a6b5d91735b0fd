"""Lets gateways in, and passes on what happens to their sockets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.commands import ChangeGroups
from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope
from imc_service.auth.grant import Grant
from imc_service.logs import get_logger
from redis.exceptions import RedisError

from imc_push_node.cluster.admission import Admission
from imc_push_node.cluster.drain import REASON, Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.roster_rows import row_of
from imc_push_node.cluster.stuck_gateways import StuckGateways
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.forwarding.forwarder import Forwarder
from imc_push_node.gateway import frames
from imc_push_node.gateway.frame_rate_limit import FrameRateLimit
from imc_push_node.gateway.frames import Refusal
from imc_push_node.gateway.gateway import Gateway, PauseReason, Socket, SocketListener, Transport
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.http.doors import Door
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.hub import App, Hub

logger = get_logger("connection")

CONNECT_SECONDS = 5.0
"""How long a gateway waits until its app is followed and itself registered."""

CLOSE_REASON_BYTES = 123
"""What a close frame has room for (RFC 6455, section 5.5). Our reasons are ASCII."""

MOST_GROUP_CHANGES = 1_000_000
"""Groups that a gateway may add and remove within a minute: ten times as many as it may hold."""

FRAME_COSTS = 100
"""A frame counts as so many groups beside those that it names: it is read and answered."""

_GETS_ALL_GROUPS = "this connection gets the events of all groups: connect with groups=listed to choose"
_MAY_NOT_SEND = "the token does not allow sending: its scope must hold send"


class OpenSocket(Socket, Protocol):
    """A socket that has told nobody yet what happens to it."""

    def listen(self, listener: SocketListener, buffer_bytes: int, *, ignores_binary: bool = False) -> None:
        """Tell ``listener`` what happens from here on. It is full with ``buffer_bytes``."""
        ...


@dataclass(frozen=True, slots=True)
class Arrival:
    """A gateway that asks to be let in, as its handshake describes it."""

    door: Door
    app_id: str
    gateway_id: str
    slot: str
    """The name of its slot in the gateway quota, which it has."""
    push_format: PushFormat
    offered: Cursor | None
    """The cursor to resume after."""
    grant: Grant
    lists_groups: bool = False
    """Whether it gets only the events of groups that it lists."""
    transport: Transport = Transport.WEBSOCKET


class _NotLetIn(Exception):
    """A gateway is not let in, for a reason that passes."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connections:
    """Lets gateways in."""

    def __init__(
        self,
        hub: Hub,
        takeover: Takeover,
        admission: Admission,
        gateway_quota: GatewayQuota,
        forwarder: Forwarder,
        drain: Drain,
        tokens: TokenExpiry,
        stuck: StuckGateways,
        metrics: NodeMetrics,
        buffer_bytes: int,
        bad_frames: int,
    ) -> None:
        self.hub = hub
        self.takeover = takeover
        self.admission = admission
        self.gateway_quota = gateway_quota
        self.forwarder = forwarder
        self.tokens = tokens
        self.stuck = stuck
        self.metrics = metrics
        self._drain = drain
        self._buffer_bytes = buffer_bytes
        self._bad_frames = bad_frames

    async def open(self, socket: OpenSocket, arrival: Arrival) -> None:
        """Take a WebSocket that was accepted, or what takes its place.

        Returns once the gateway is let in, or was answered 4000.
        """
        try:
            await self._let_in(socket, arrival)
        except _NotLetIn as fault:
            self.gateway_quota.give_back(arrival.app_id, arrival.slot)
            self._turn_away(socket, arrival.push_format, ErrorCode.UNAVAILABLE, fault.code, fault.reason)

    def refuse(self, socket: OpenSocket, door: Door, refused: Refused) -> None:
        """Answer a malformed handshake, whose WebSocket was accepted, with 4000."""
        self._turn_away(socket, door.push_format({}), refused.code, CloseCode.BAD_REQUEST, refused.message)

    def head_of(self, app_id: str) -> Cursor:
        """The position that all live gateways of an app have reached. The app must have one."""
        app = self.hub.app(app_id)
        assert app is not None
        app.delivery.flush()
        return app.delivery.outbox.head

    def _turn_away(
        self,
        socket: OpenSocket,
        push_format: PushFormat,
        error: ErrorCode,
        code: CloseCode,
        reason: str,
    ) -> None:
        self.metrics.refused.inc()
        socket.write(frames.not_connected(push_format, error, reason))
        socket.close(code, reason[:CLOSE_REASON_BYTES])

    async def _let_in(self, socket: OpenSocket, arrival: Arrival) -> None:
        self._refuse_while_draining()
        gateway = Gateway(
            arrival.app_id,
            arrival.gateway_id,
            socket,
            arrival.grant,
            arrival.push_format,
            arrival.transport,
            lists_groups=arrival.lists_groups,
        )
        app = self.hub.enter(gateway)
        self.gateway_quota.enter(gateway, arrival.slot)
        socket.listen(
            _SocketEvents(self, gateway, app, arrival.door, self._bad_frames),
            self._buffer_bytes,
            ignores_binary=arrival.door.ignores_binary_frames,
        )
        self.tokens.watch(gateway)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await app.follower.settled()
                if arrival.door.is_exclusive:
                    await self.takeover.register(gateway)
        except (RedisError, OSError) as error:
            logger.debug("a gateway is not let in", fault=type(error).__name__)
            reason = "the log is out of reach: try again"
            raise _NotLetIn(CloseCode.TRY_AGAIN_LATER, reason) from None
        self._refuse_while_draining()
        if not socket.has_ended:
            app.delivery.join(gateway, arrival.offered)

    def _refuse_while_draining(self) -> None:
        if self._drain.has_begun:
            raise _NotLetIn(CloseCode.NODE_RESTARTS, REASON)


class _SocketEvents:
    """Passes the events of one gateway's socket to the parts that they concern."""

    __slots__ = ("_app", "_connections", "_door", "_gateway", "_group_limit", "_rate_limit")

    def __init__(
        self, connections: Connections, gateway: Gateway, app: App, door: Door, bad_frames: int
    ) -> None:
        self._connections = connections
        self._gateway = gateway
        self._app = app
        self._door = door
        self._rate_limit = FrameRateLimit(bad_frames)
        self._group_limit = FrameRateLimit(MOST_GROUP_CHANGES)

    def on_texts(self, texts: list[bytes]) -> None:
        gateway, connections = self._gateway, self._connections
        reading = self._door.read_frames(texts, gateway.app_id, self._rate_limit.left)
        if reading.sends and not gateway.may(Scope.SEND):
            reading.refusals += [
                Refusal(ErrorCode.FORBIDDEN, _MAY_NOT_SEND, send.message.client_message_id, send.list_index)
                for send in reading.sends
            ]
            reading.sends.clear()
        if (reading.refusals or reading.tokens) and not self._refuse(reading.refusals, len(reading.tokens)):
            return
        if reading.group_changes and not self._change_groups(reading.group_changes):
            return
        for token in reading.tokens:
            connections.tokens.renew(gateway, token)
        if reading.sends:
            connections.forwarder.submit(gateway, reading.sends, sum(map(len, texts)))

    def _change_groups(self, changes: Sequence[ChangeGroups | Refused]) -> bool:
        """Answer each change with 2007 or 4001. Returns False if the gateway was closed for too many."""
        gateway = self._gateway
        for change in changes:
            if gateway.socket.has_ended:
                return False
            try:
                self._change(change)
            except Refused as refused:
                held = None if gateway.groups is None else len(gateway.groups)
                refusal = Refusal(
                    refused.code, refused.message, retry_after=refused.retry_after, groups_held=held
                )
                if not self._refuse([refusal]):
                    return False
        return not gateway.socket.has_ended

    def _change(self, change: ChangeGroups | Refused) -> None:
        if isinstance(change, Refused):
            raise change
        if self._gateway.groups is None:
            raise Refused(ErrorCode.INVALID_FIELD, _GETS_ALL_GROUPS)
        count = FRAME_COSTS + len(change.add_groups or ()) + len(change.remove_groups or ())
        if self._group_limit.allows(count):
            self._app.delivery.hold(self._gateway, change)
        else:
            reason = f"more than {MOST_GROUP_CHANGES} groups were added and removed within a minute"
            self._gateway.socket.close(CloseCode.BAD_REQUEST, reason)

    def _refuse(self, refusals: Sequence[Refusal], tokens: int = 0) -> bool:
        """Write a 4001 for each refusal. Returns False, with the gateway closed, if there are too many."""
        gateway = self._gateway
        self._connections.metrics.frames_refused.inc(len(refusals))
        gateway.count_sends(refused=len(refusals))
        self._connections.hub.changed.note(gateway)
        # A token counts too: to check it is work, and it is refused while one before it is checked.
        if not self._rate_limit.allows(len(refusals) + tokens):
            gateway.socket.close(CloseCode.BAD_REQUEST, "too many frames that are not accepted")
            return False
        gateway.socket.write(b"".join(frames.frame_refused(gateway.format, each) for each in refusals))
        return True

    def on_full(self) -> None:
        # Answers to a gateway's own frames fill its buffer too. If it does not read them, it causes no more.
        self._gateway.pause(PauseReason.BUFFER)
        self._app.delivery.on_full(self._gateway)

    def on_room(self) -> None:
        self._gateway.resume(PauseReason.BUFFER)
        self._app.delivery.on_room(self._gateway)

    def on_end(self, code: CloseCode | None) -> None:
        gateway, connections = self._gateway, self._connections
        if code is not None:
            connections.metrics.closes[code].inc()
            if not code.is_orderly:
                gateway.keep_row(row_of(gateway, self._app))
        if code is CloseCode.NO_PROGRESS:
            connections.stuck.closed(gateway, self._app.delivery.outbox.told)
        connections.tokens.forget(gateway)
        connections.hub.leave(self._app, gateway)
        connections.takeover.leave(gateway)
        connections.gateway_quota.leave(gateway)
