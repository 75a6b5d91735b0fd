"""How a gateway connects, and what its socket's events lead to."""

import asyncio
from collections.abc import Mapping

from imc_contracts.codes import CloseCode
from imc_contracts.cursor import Cursor
from imc_contracts.errors import Refused
from imc_contracts.fields import AppId, GatewayId
from imc_contracts.scopes import Scope
from imc_contracts.validation import parse_fields
from imc_service.auth.grant import Grant
from imc_service.logs import get_logger
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from redis.exceptions import RedisError

from imc_push_node.cluster.drain import REASON, Drain
from imc_push_node.cluster.takeover import Takeover
from imc_push_node.forwarding.forwarder import Forwarder
from imc_push_node.forwarding.incoming_frames import Refusal, read_frames
from imc_push_node.gateway import frames
from imc_push_node.gateway.frame_rate_limit import FrameRateLimit
from imc_push_node.gateway.gateway import Gateway, PauseReason
from imc_push_node.gateway.token_expiry import TokenExpiry
from imc_push_node.gateway.websocket import GatewayWebSocket
from imc_push_node.metrics import NodeMetrics
from imc_push_node.stream.hub import App, Hub

logger = get_logger("connection")

CONNECT_SECONDS = 5.0
"""How long a gateway waits for its app to be followed and itself to be registered."""

_MAY_NOT_SEND = "the token does not allow sending: its scope must hold send"
_CURSOR_RULE = "it must be a cursor that a push, a receipt or a 2000 carried"


class NotConnected(Exception):
    """A gateway that is not let in: 4000 says why, and the close code whether to come again."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class GatewayIds(BaseModel):
    """The two ids in the path of a gateway."""

    model_config = ConfigDict(alias_generator=to_camel)

    app_id: AppId
    gateway_id: GatewayId


class Connections:
    """Lets gateways in."""

    def __init__(
        self,
        hub: Hub,
        takeover: Takeover,
        forwarder: Forwarder,
        drain: Drain,
        tokens: TokenExpiry,
        metrics: NodeMetrics,
        buffer_bytes: int,
        bad_frames: int,
    ) -> None:
        self.hub = hub
        self._takeover = takeover
        self._forwarder = forwarder
        self._drain = drain
        self._tokens = tokens
        self._metrics = metrics
        self._buffer_bytes = buffer_bytes
        self._bad_frames = bad_frames

    async def open(
        self, socket: GatewayWebSocket, path: Mapping[str, str], query: Mapping[str, str], grant: Grant
    ) -> None:
        """Take a WebSocket that was accepted. Returns once it is let in, or was answered 4000."""
        try:
            gateway, offered = _read_request(socket, path, query, grant)
            await self._let_in(gateway, socket, offered)
        except NotConnected as refusal:
            self._metrics.refused.inc()
            socket.write(frames.not_connected(refusal.reason))
            socket.close(refusal.code, _short(refusal.reason))

    async def _let_in(self, gateway: Gateway, socket: GatewayWebSocket, offered: Cursor | None) -> None:
        self._refuse_while_draining()
        app = self.hub.enter(gateway)
        rate_limit = FrameRateLimit(self._bad_frames)
        events = _SocketEvents(
            gateway, app, self.hub, self._forwarder, self._tokens, self._metrics, rate_limit
        )
        socket.listen(events, self._buffer_bytes)
        self._tokens.watch(gateway)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await app.follower.settled()
                await self._takeover.register(gateway)
        except (RedisError, OSError) as error:
            logger.debug("a gateway is not let in", fault=type(error).__name__)
            reason = "the log is out of reach: try again"
            raise NotConnected(CloseCode.TRY_AGAIN_LATER, reason) from None
        self._refuse_while_draining()
        if not socket.has_ended:
            app.join(gateway, offered)

    def _refuse_while_draining(self) -> None:
        if self._drain.has_begun:
            raise NotConnected(CloseCode.NODE_RESTARTS, REASON)


class _SocketEvents:
    """What one gateway's socket tells, handed to the parts it concerns."""

    __slots__ = ("_app", "_forwarder", "_gateway", "_hub", "_metrics", "_rate_limit", "_tokens")

    def __init__(
        self,
        gateway: Gateway,
        app: App,
        hub: Hub,
        forwarder: Forwarder,
        tokens: TokenExpiry,
        metrics: NodeMetrics,
        rate_limit: FrameRateLimit,
    ) -> None:
        self._gateway = gateway
        self._app = app
        self._hub = hub
        self._forwarder = forwarder
        self._tokens = tokens
        self._metrics = metrics
        self._rate_limit = rate_limit

    def on_texts(self, texts: list[bytes]) -> None:
        reading = read_frames(texts, self._gateway.app_id, self._rate_limit.left)
        sends, refusals = reading.sends, reading.refusals
        if sends and not self._gateway.may(Scope.SEND):
            refusals += [Refusal(_MAY_NOT_SEND, send.client_message_id) for send in sends]
            sends.clear()
        if refusals or reading.tokens:
            self._metrics.frames_refused.inc(len(refusals))
            # A token counts too: to look at it is work, and it is refused while one before it is looked at.
            if not self._rate_limit.bears(len(refusals) + len(reading.tokens)):
                self._gateway.socket.close(CloseCode.BAD_REQUEST, "too many frames that are not accepted")
                return
            answers = [frames.frame_refused(each.message, each.client_message_id) for each in refusals]
            self._gateway.socket.write(b"".join(answers))
        for token in reading.tokens:
            self._tokens.renew(self._gateway, token)
        if sends:
            self._forwarder.submit(self._gateway, sends, sum(map(len, texts)))

    def on_full(self) -> None:
        # Its own answers fill the buffer too: who does not take them may not cause more of them.
        self._gateway.pause(PauseReason.BUFFER)
        self._app.subscribers.full.add(self._gateway)

    def on_room(self) -> None:
        self._gateway.resume(PauseReason.BUFFER)
        self._app.subscribers.full.discard(self._gateway)
        self._app.wake()

    def on_end(self, code: CloseCode | None) -> None:
        if code is not None:
            self._metrics.closes[code].inc()
        self._tokens.forget(self._gateway)
        self._hub.leave(self._app, self._gateway)


def read_ids(path: Mapping[str, str]) -> GatewayIds:
    """The ids in the path of a gateway; raises `Refused` (`INVALID_FIELD`)."""
    return parse_fields(GatewayIds, dict(path))


def _read_request(
    socket: GatewayWebSocket, path: Mapping[str, str], query: Mapping[str, str], grant: Grant
) -> tuple[Gateway, Cursor | None]:
    try:
        ids = read_ids(path)
        cursor = query.get("cursor")
        offered = Cursor.parse(cursor) if cursor else None
    except Refused as refused:
        raise NotConnected(CloseCode.BAD_REQUEST, refused.message) from None
    except ValueError:
        raise NotConnected(CloseCode.BAD_REQUEST, f"cursor is not valid: {_CURSOR_RULE}") from None
    wants_notices = query.get("notices") == "1"
    return Gateway(ids.app_id, ids.gateway_id, socket, grant, wants_notices=wants_notices), offered


def _short(reason: str) -> str:
    """As much of it as a close frame holds (RFC 6455, section 5.5); all of these texts are ASCII."""
    return reason[:120]
