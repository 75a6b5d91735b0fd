"""The bytes of the heads of replies."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from imc_service.http1.head import Header

CLOSE = b"connection: close\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}

_USUAL_LINES: dict[Header, bytes] = {
    (b"content-type", b"application/json"): b"content-type: application/json\r\n",
}
"""What nearly every reply has: to look a line up costs less than to make it."""


class HeadStarts:
    """The first lines of heads: the status line, and the headers that uvicorn adds to each reply."""

    def __init__(self, server_state: Any) -> None:
        self._server = server_state
        self._default_headers: list[Header] = []
        self._starts: dict[int, bytes] = {}
        self.say_close = False
        """Whether each reply is the last of its connection, because the server ends."""

    def of(self, status: int) -> bytes:
        """Those of a reply with this status. uvicorn makes a new list each second, for the date."""
        headers = self._server.default_headers
        if headers is not self._default_headers:
            self._default_headers, self._starts = headers, {}
            self.say_close = (b"connection", b"close") in headers
        start = self._starts.get(status)
        if start is None:
            start = self._starts[status] = status_line(status) + b"".join(lines_of(headers))
        return start


def status_line(status: int) -> bytes:
    """The first line of a head."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def lines_of(headers: Iterable[Header]) -> list[bytes]:
    """The lines of a head, one for each of ``headers``."""
    return [_USUAL_LINES.get(header) or b"%b: %b\r\n" % header for header in headers]


def head_of(start: bytes, lines: Iterable[bytes], *, stays: bool) -> bytes:
    """A head that begins with ``start``; its connection ends with the reply unless it ``stays``."""
    end = b"\r\n" if stays or CLOSE in start else CLOSE + b"\r\n"
    return b"".join((start, *lines, end))
