"""Lets gateways in, and passes on what happens to their sockets."""

import asyncio
from dataclasses import dataclass

from imc_contracts.codes import CloseCode, ErrorCode
from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused
from imc_contracts.scopes import Scope
from imc_service.auth.grant import Grant
from imc_service.logs import get_logger
from redis.exceptions import RedisError

from imc_push_node.cluster.drain import REASON, Drain
from imc_push_node.cluster.gateway_quota import GatewayQuota
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.forwarding.forwarder import Forwarder
from imc_push_node.forwarding.incoming_frames import Reading
from imc_push_node.gateway import frames
from imc_push_node.gateway.frame_rate_limit import FrameRateLimit
from imc_push_node.gateway.frames import Refusal
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.gateway.websocket import GatewayWebSocket
from imc_push_node.http.doors import Door
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.hub import App, Hub

logger = get_logger("connection")

CONNECT_SECONDS = 5.0
"""How long a gateway waits until its app is followed and itself registered."""

CLOSE_REASON_BYTES = 123
"""What a close frame has room for (RFC 6455, section 5.5). Our reasons are ASCII."""

_MAY_NOT_SEND = "the token does not allow sending: its scope must hold send"


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
        gateway_quota: GatewayQuota,
        forwarder: Forwarder,
        drain: Drain,
        tokens: TokenExpiry,
        metrics: NodeMetrics,
        buffer_bytes: int,
        bad_frames: int,
    ) -> None:
        self.hub = hub
        self.takeover = takeover
        self.gateway_quota = gateway_quota
        self.forwarder = forwarder
        self.tokens = tokens
        self.metrics = metrics
        self._drain = drain
        self._buffer_bytes = buffer_bytes
        self._bad_frames = bad_frames

    async def open(self, socket: GatewayWebSocket, arrival: Arrival) -> None:
        """Take a WebSocket that was accepted. Returns once the gateway is let in, or was answered 4000."""
        try:
            await self._let_in(socket, arrival)
        except _NotLetIn as fault:
            self.gateway_quota.give_back(arrival.app_id, arrival.slot)
            self._turn_away(socket, arrival.push_format, ErrorCode.UNAVAILABLE, fault.code, fault.reason)

    def refuse(self, socket: GatewayWebSocket, door: Door, refused: Refused) -> None:
        """Answer a malformed handshake, whose WebSocket was accepted, with 4000."""
        self._turn_away(socket, door.push_format({}), refused.code, CloseCode.BAD_REQUEST, refused.message)

    def _turn_away(
        self,
        socket: GatewayWebSocket,
        push_format: PushFormat,
        error: ErrorCode,
        code: CloseCode,
        reason: str,
    ) -> None:
        self.metrics.refused.inc()
        socket.write(frames.not_connected(push_format, error, reason))
        socket.close(code, reason[:CLOSE_REASON_BYTES])

    async def _let_in(self, socket: GatewayWebSocket, arrival: Arrival) -> None:
        self._refuse_while_draining()
        gateway = Gateway(arrival.app_id, arrival.gateway_id, socket, arrival.grant, arrival.push_format)
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

    __slots__ = ("_app", "_connections", "_door", "_gateway", "_rate_limit")

    def __init__(
        self, connections: Connections, gateway: Gateway, app: App, door: Door, bad_frames: int
    ) -> None:
        self._connections = connections
        self._gateway = gateway
        self._app = app
        self._door = door
        self._rate_limit = FrameRateLimit(bad_frames)

    def on_texts(self, texts: list[bytes]) -> None:
        gateway, connections = self._gateway, self._connections
        reading = self._door.read_frames(texts, gateway.app_id, self._rate_limit.left)
        if reading.sends and not gateway.may(Scope.SEND):
            reading.refusals += [
                Refusal(ErrorCode.FORBIDDEN, _MAY_NOT_SEND, send.message.client_message_id, send.list_index)
                for send in reading.sends
            ]
            reading.sends.clear()
        if (reading.refusals or reading.tokens) and not self._answer_refusals(reading):
            return
        for token in reading.tokens:
            connections.tokens.renew(gateway, token)
        if reading.sends:
            connections.forwarder.submit(gateway, reading.sends, sum(map(len, texts)))

    def _answer_refusals(self, reading: Reading) -> bool:
        """Write a 4001 for each refusal. Returns False, with the gateway closed, if there are too many."""
        refusals, gateway = reading.refusals, self._gateway
        self._connections.metrics.frames_refused.inc(len(refusals))
        # A token counts too: to check it is work, and it is refused while one before it is checked.
        if not self._rate_limit.allows(len(refusals) + len(reading.tokens)):
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
        connections.tokens.forget(gateway)
        connections.hub.leave(self._app, gateway)
        connections.takeover.leave(gateway)
        connections.gateway_quota.leave(gateway)
