"""Request bodies, read with a limit for each and for all together."""

import asyncio

from fastapi import Request
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from starlette.types import Receive, Scope

LARGE_BYTES = 65_536
"""A body up to this size is read and parsed at once, however much room others take."""

RETRY_SECONDS = 1


class BodyRoom:
    """The memory that a process has for bodies that are being received.

    A client may take a minute to send a body: without a bound, a few hundred clients would fill the memory.
    Large bodies are parsed one per turn of the event loop, so that other requests are served in between.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken = 0
        self._parsing = asyncio.Lock()

    def take(self, size: int, size_before: int) -> None:
        """Reserve ``size`` bytes more for a body that has ``size_before`` already.

        Raises `Refused` (`UNAVAILABLE`) if the body is large and there is no room.
        """
        if size_before + size > LARGE_BYTES and self._taken + size > self._most_bytes:
            words = "the process is reading too many large bodies; nothing was accepted, try again"
            raise Refused(ErrorCode.UNAVAILABLE, words, retry_after=RETRY_SECONDS)
        self._taken += size

    def give_back(self, size: int) -> None:
        """Release ``size`` bytes: the body was read or given up."""
        self._taken -= size

    async def turn(self, size: int) -> None:
        """Wait for a turn of the event loop in which no other large body is worked on."""
        if size > LARGE_BYTES:
            async with self._parsing:
                await asyncio.sleep(0)


class WholeRequest(Request):
    """A request whose body was received already."""

    def __init__(self, scope: Scope, receive: Receive, body: bytes) -> None:
        super().__init__(scope, receive)
        self.whole_body = body


async def read_body(request: Request, limit: int, room: BodyRoom) -> bytes:
    """The whole body, at most ``limit`` bytes.

    Raises `Refused`: `BODY_TOO_LARGE` as soon as more is announced or received, `INVALID_FIELD` if the client
    leaves before the end, `UNAVAILABLE` if ``room`` is full.
    """
    if isinstance(request, WholeRequest):
        body = request.whole_body
        if len(body) > limit:
            raise _too_large(limit)
    else:
        announced = _header(request, b"content-length")
        if announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        body = await _read_parts(request, limit, room)
    if len(body) > LARGE_BYTES:  # to ask the room about each body would cost every call
        await room.turn(len(body))
    return body


async def _read_parts(request: Request, limit: int, room: BodyRoom) -> bytes:
    chunks: list[bytes] = []
    size = taken = 0
    try:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                # Nobody reads this reply. Another exception would be logged as a fault of ours.
                raise Refused(ErrorCode.INVALID_FIELD, "the body ended too early")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            room.take(len(chunk), taken)
            taken = size
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunk if len(chunks) == 1 else b"".join(chunks)
    finally:
        room.give_back(taken)


async def read_json_body(request: Request, limit: int, room: BodyRoom) -> bytes:
    """The body of a request whose Content-Type is JSON, or missing.

    Raises `Refused`: `UNSUPPORTED_MEDIA_TYPE`, or as `read_body` does.
    """
    media_type = media_type_of(request)
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise Refused(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "the body must be JSON: send Content-Type application/json"
        )
    return await read_body(request, limit, room)


def media_type_of(request: Request) -> str:
    """The media type of the body in lower case without parameters, or ``""``."""
    told = _header(request, b"content-type")
    if told == b"application/json":
        return "application/json"  # the usual case, without decoding
    return told.decode("latin-1").partition(";")[0].strip().lower()


def _header(request: Request, name: bytes) -> bytes:
    """The header or an empty text: as `Request.headers`, in a tenth of the time."""
    for key, value in request.scope["headers"]:
        if key == name:
            return value
    return b""


def _too_large(limit: int) -> Refused:
    return Refused(ErrorCode.BODY_TOO_LARGE, f"the body is over the limit of {limit} bytes")
