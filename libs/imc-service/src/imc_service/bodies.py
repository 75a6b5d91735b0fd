"""Request bodies, read with a limit."""

from fastapi import Request
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from starlette.types import Receive, Scope


class WholeRequest(Request):
    """A request whose body is here already."""

    def __init__(self, scope: Scope, receive: Receive, body: bytes) -> None:
        super().__init__(scope, receive)
        self.whole_body = body


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, at most ``limit`` bytes.

    Raises `Refused`: `BODY_TOO_LARGE` as soon as more than that is announced or has come, `INVALID_FIELD` if
    the client leaves before the end.
    """
    if isinstance(request, WholeRequest):
        if len(request.whole_body) > limit:
            raise _too_large(limit)
        return request.whole_body
    announced = _header(request, b"content-length")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            # Nobody reads this; it is no fault of ours either, for which a log would be written.
            raise Refused(ErrorCode.INVALID_FIELD, "the body ended too early")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunk if len(chunks) == 1 else b"".join(chunks)


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body of a request that must be JSON by its Content-Type; one without the header is taken as JSON.

    Raises `Refused`: `UNSUPPORTED_MEDIA_TYPE`, or as `read_body` does.
    """
    media_type = media_type_of(request)
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise Refused(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON: send Content-Type application/json"
        )
    return await read_body(request, limit)


def media_type_of(request: Request) -> str:
    """The media type of the body in lower case without parameters, or ``""``."""
    told = _header(request, b"content-type")
    if told == b"application/json":
        return "application/json"  # what nearly everybody sends, without a look at each letter
    return told.decode("latin-1").partition(";")[0].strip().lower()


def _header(request: Request, name: bytes) -> bytes:
    """As it came, or empty: what `Request.headers` finds, for a tenth of the time."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value
    return b""


def _too_large(limit: int) -> Refused:
    return Refused(ErrorCode.BODY_TOO_LARGE, f"the body is over the limit of {limit} bytes")
