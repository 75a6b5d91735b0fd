"""HTTP replies in the envelope, and the one map from an error code to its HTTP status.

On the paths of the Java door a refusal has the one code that its clients know; see `refusal_at`.
"""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from imc_contracts import envelope
from imc_contracts.codes import JAVA_ERROR, ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.validation import explain
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from imc_service.current_call import id_of
from imc_service.http import java_door
from imc_service.logs import get_logger

logger = get_logger("http")

STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_FIELD: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.PATH_NOT_FOUND: 404,
    ErrorCode.MESSAGE_NOT_FOUND: 404,
    ErrorCode.NOTICE_NOT_FOUND: 404,
    ErrorCode.GATEWAY_NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.REQUEST_TOO_SLOW: 408,
    ErrorCode.ALREADY_RECALLED: 409,
    ErrorCode.RECALL_WINDOW_PASSED: 409,
    ErrorCode.NOTICE_ALREADY_DELETED: 409,
    ErrorCode.CLIENT_MESSAGE_ID_REUSED: 409,
    ErrorCode.REPLACED: 409,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.QUOTA_USED_UP: 429,
    ErrorCode.HEADERS_TOO_LARGE: 431,
    ErrorCode.INTERNAL: 500,
    ErrorCode.UNAVAILABLE: 503,
}
"""The HTTP status of each refusal on v1."""

JAVA_STATUS = STATUS | dict.fromkeys(
    (
        ErrorCode.MESSAGE_NOT_FOUND,
        ErrorCode.NOTICE_NOT_FOUND,
        ErrorCode.ALREADY_RECALLED,
        ErrorCode.RECALL_WINDOW_PASSED,
        ErrorCode.NOTICE_ALREADY_DELETED,
    ),
    200,
)
"""The HTTP status of each refusal on the Java door.

The Java version answers 200 where a request is well formed and refused for what is stored. Its clients throw
at any other status.
"""

_OF_STATUS = {
    404: (ErrorCode.PATH_NOT_FOUND, "no such path"),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "this path does not answer that method"),
    413: (ErrorCode.BODY_TOO_LARGE, "the body is over the limit"),
    415: (ErrorCode.UNSUPPORTED_MEDIA_TYPE, "this path does not read that media type"),
}
_FAULT = "something went wrong on our side; the request may or may not have been carried out"

_NONE: Mapping[str, str] = {}
_CONTENT_TYPE = (b"content-type", b"application/json")


class JsonReply(Response):
    """A JSON body written in one pass, characters as they are."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] = _NONE) -> None:
        # All that `Response` does in steps, for the one kind of body there is: this is on every call's way.
        self.status_code = status_code
        self.background = None
        self.body = envelope.encode(content)
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            _CONTENT_TYPE,
        ]
        if headers:
            self.raw_headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class StreamedReply(StreamingResponse):
    """A JSON body that is sent piece by piece, for bodies too large for memory.

    If a piece can't be made, the connection is closed before the end of the body.
    """

    media_type = "application/json"


def success(data: Any) -> JsonReply:
    """The reply to a request that was carried out."""
    return JsonReply(envelope.success(data))


def refusal(refused: Refused) -> JsonReply:
    """The reply to a request of v1 that is refused."""
    return JsonReply(envelope.failure_of(refused), STATUS[refused.code], _headers(refused))


def java_refusal(refused: Refused) -> JsonReply:
    """The reply to a request of the Java door that is refused."""
    failure = {"success": False, "code": JAVA_ERROR, "message": refused.message, "data": None}
    status = JAVA_STATUS[refused.code]
    return JsonReply(failure, status, _NONE if status == 200 else _headers(refused))


def refusal_at(path: str, refused: Refused) -> JsonReply:
    """The reply to a request for ``path`` that is refused: that of its door."""
    return java_refusal(refused) if java_door.has_path(path) else refusal(refused)


def refusal_of(scope: Scope, refused: Refused) -> JsonReply:
    """The reply to a call that is refused. If the fault is ours, it names the id that the logs know it by."""
    if refused.code is ErrorCode.INTERNAL:
        message = f"{refused.message} (request id {id_of(scope)})"
        refused = Refused(refused.code, message, retry_after=refused.retry_after)
    return refusal_at(scope["path"], refused)


def fault(scope: Scope, error: Exception) -> JsonReply:
    """The reply where ``error`` was raised. It is logged, and never shown to the client."""
    # The route, not the path: ids are part of paths.
    path = getattr(scope.get("route"), "path", "other")
    logger.error("request failed", path=path, requestId=id_of(scope), exc_info=error)
    return refusal_of(scope, Refused(ErrorCode.INTERNAL, _FAULT))


def _headers(refused: Refused) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_after))
    if refused.code is ErrorCode.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def install(app: FastAPI) -> None:
    """Make every failure of ``app``, the framework's own included, answer in the envelope."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return refusal_of(request.scope, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # FastAPI puts where a value came from ("query", "body") before the field's name.
        faults = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors()]
        return refusal_at(request.scope["path"], Refused(ErrorCode.INVALID_FIELD, explain(faults)))

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, message = _OF_STATUS.get(error.status_code, (ErrorCode.INVALID_FIELD, "not a valid request"))
        reply = refusal_at(request.scope["path"], Refused(code, message))
        reply.headers.update(error.headers or {})
        allowed = reply.headers.get("Allow", "")
        if "GET" in allowed and "HEAD" not in allowed:
            reply.headers["Allow"] = f"{allowed}, HEAD"  # answered wherever GET is; see `imc_service.http1`
        return reply

    async def failed(request: Request, error: Exception) -> Response:
        return fault(request.scope, error)

    async def unmatched(scope: Scope, receive: Receive, send: Send) -> None:
        # Where starlette would redirect, or answer a WebSocket with an empty 403.
        refused = Refused(ErrorCode.PATH_NOT_FOUND, "no such path")
        await refusal_at(scope["path"], refused)(scope, receive, send)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, failed)
    app.router.redirect_slashes = False
    app.router.default = unmatched
