"""Handshakes of WebSockets, and what a WebSocket protocol needs in a guarded process."""

from typing import Any, cast

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from websockets.exceptions import SecurityError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request
from websockets.server import ServerProtocol

from imc_service.http import replies
from imc_service.http.guard.addresses import Visitor
from imc_service.http1.exchange import whole
from imc_service.http1.reply_heads import status_line


def refuses_handshake(head: bytes) -> Refused | None:
    """Why ``head`` is not a valid handshake, or None. The library decides, and does not answer it."""
    judge = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()])
    judge.receive_data(head)
    requests = judge.events_received()
    if requests and isinstance(requests[0], Request):
        judge.accept(requests[0])
    if judge.handshake_exc is None:
        return None
    cause = judge.handshake_exc.__cause__ or judge.handshake_exc
    if isinstance(cause, SecurityError):
        words = f"a handshake may have {MAX_NUM_HEADERS} headers, and lines of {MAX_LINE_LENGTH} bytes"
        return Refused(ErrorCode.HEADERS_TOO_LARGE, words)
    return Refused(ErrorCode.INVALID_FIELD, f"not a valid WebSocket handshake: {cause}")


class CountedSocket:
    """A mixin for WebSocket protocols: the connection counts for its address until it is lost.

    If no handshake was answered, its error reply is in the envelope.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.visitor: Visitor | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting it."""
        super().connection_lost(exc)  # pyright: ignore
        if self.visitor is not None:
            self.visitor.leave()

    def send_500_response(self) -> None:
        """The application failed before it answered the handshake, or the process ends."""
        protocol = cast(Any, self)
        if not (protocol.initial_response or protocol.handshake_complete):
            refused = Refused(ErrorCode.INTERNAL, "the handshake was not answered; try again")
            scope = getattr(protocol, "scope", None)  # there once the handshake was read
            reply = replies.refusal_at(scope["path"] if scope else "", refused)
            protocol.transport.write(whole(reply, status_line(reply.status_code)))
