"""The head of a request.

A client asks for another protocol with ``Connection: upgrade`` and ``Upgrade``, which names protocols. A
server that speaks none of them answers as if the header were not there (RFC 9110, section 7.8).
"""

Header = tuple[bytes, bytes]

NOTED = frozenset((b"host", b"expect", b"origin", b"x-request-id"))
"""The headers that may cause a refusal, ask for more than a reply, or are part of the reply."""


class Head:
    """The head of a request. Names of headers are in lower case."""

    method = target = b""
    version = ""

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.noted: list[Header] = []
        """The headers that are `NOTED`: usually one, which is faster than to search all."""

    def asks_for_websocket(self) -> bool:
        """Whether it begins a WebSocket (RFC 6455, section 4.1): a ``GET`` of HTTP/1.1, without a body."""
        if self.method != b"GET" or self.version != "1.1":
            return False
        is_named = False
        for name, value in self.headers:
            if name == b"upgrade":
                is_named = is_named or b"websocket" in [part.strip() for part in value.lower().split(b",")]
            elif name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ")):
                return False
        return is_named

    def with_upgrade(self, *protocols: bytes) -> bytes:
        """The bytes of the head, with ``protocols`` in place of those in ``Upgrade``."""
        headers = [header for header in self.headers if header[0] != b"upgrade"]
        headers += [(b"upgrade", protocol) for protocol in protocols]
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.method, self.target, self.version.encode(), lines)
