"""A client of WebSockets that keeps to no rule: raw bytes, drawn by lot from what breaks servers."""

import asyncio
import contextlib
import json
import struct
from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

from imc_testkit import bombs
from imc_testkit.calls import COMMAND_PATHS

READ_SECONDS = 0.05
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10

INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE imc_message; -- ",
    '" OR ""="',
    "\\'; SELECT SLEEP(10); #",
    "1) UNION SELECT user, password FROM mysql.user -- ",
    "%' AND 1=1 /*",
    "?, ?, %s, %(x)s, {0}, ${jndi:ldap://x}",
    "\x00\x1a\\%_",
    '\n{"level": "error", "event": "forged"}',
    "\r\nSet-Cookie: a=b\r\n\r\n<script>alert(1)</script>",
    "\x1b[2J\x1b]0;title\x07",
    "\u2028\u2029\u202e\ufeff\U0001f4a3",
    "*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n",
)
"""Texts that were commands once they had left their place: of SQL, of logs, of pages, of Redis."""


SMUGGLED = "this was the body of another request"
"""The content of all messages that are hidden in bodies."""

_POST = b"POST /v1/commands/send-message HTTP/1.1\r\nHost: a\r\n"


def frame(
    payload: bytes,
    opcode: int = _TEXT,
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
) -> bytes:
    """One frame; without a ``mask`` as no client may send it."""
    head = bytes([(fin << 7) | (reserved << 4) | opcode])
    bit, size = (128 if mask is not None else 0), len(payload)
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", size)
    if mask is None:
        return head + payload
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + masked


def handshake(host: str, path: str, *more: str) -> bytes:
    """A good request for an upgrade."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class WireFuzz:
    """Attacks the server at ``url`` (``http://HOST:PORT``); all that it does is drawn from one seed."""

    def __init__(self, url: str, app_id: str, seed: int) -> None:
        self._host = urlsplit(url).netloc
        self._app_id = app_id
        self._random = Random(seed)  # noqa: S311 - to be repeated, not secret
        self._attacks: list[Callable[[], list[bytes]]] = [
            self._bad_frames,
            self._fragments,
            self._control_frames,
            self._control_flood,
            self._slow_frames,
            self._lying_lengths,
            self._bad_json,
            self._noise,
            self._half_handshake,
            self._bad_handshake,
            self._bad_http,
            self._bombs_in_frames,
            self._bombs_in_bodies,
            self._foreign_upgrade,
            self._drips,
        ]
        self.smuggled = 0
        """How many requests were hidden in bodies: none of them may be carried out; see `SMUGGLED`."""

    async def attack(self, count: int) -> None:
        """Make ``count`` connections at once, each with an attack; returns when all are over."""
        await asyncio.gather(*(self._connect(self._random.choice(self._attacks)()) for _ in range(count)))

    async def _connect(self, pieces: list[bytes]) -> None:
        host, _, port = self._host.partition(":")
        leaves_rudely = self._random.random() < 0.3
        half_closes = self._random.random() < 0.3
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(READ_SECONDS):
                            await reader.read(65536)
                if half_closes:
                    writer.write_eof()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(READ_SECONDS):
                            await reader.read(65536)
            finally:
                if leaves_rudely:
                    writer.transport.abort()
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    def _opened(self, *pieces: bytes) -> list[bytes]:
        path = f"/v1/gateways/{self._app_id}/fuzz-{self._random.randrange(20)}"
        return [handshake(self._host, path), *pieces]

    def _body(self) -> bytes:
        ids = {"appId": self._app_id, "groupId": "g", "userId": "u"}
        return json.dumps({**ids, "content": self._random.choice(INJECTIONS)}).encode()

    def _bad_frames(self) -> list[bytes]:
        draw = self._random
        wrong = frame(
            self._body(),
            draw.choice((0, 1, 2, 3, 7, 11, 15)),
            fin=draw.random() < 0.5,
            reserved=draw.choice((0, 1, 2, 4, 7)),
            mask=draw.choice((None, b"abcd", b"\0\0\0\0")),
        )
        return self._opened(frame(self._body()), wrong, frame(self._body()))

    def _fragments(self) -> list[bytes]:
        body, parts = self._body(), [b""] * self._random.randrange(50)
        at = self._random.randrange(len(body))
        middle = [frame(part, 0, fin=False) for part in parts]
        # A character that is cut, and sometimes an end that never comes, or a text within a text.
        end = self._random.choice((frame(body[at:], 0), frame(b"\xff\xfe", 0), frame(body), b""))
        return self._opened(b"".join([frame(body[:at], fin=False), *middle, frame(b"", _PING), end]))

    def _control_frames(self) -> list[bytes]:
        draw = self._random
        some = [
            frame(
                draw.randbytes(draw.choice((0, 1, 2, 125, 126, 300))),
                draw.choice((_CLOSE, _PING, _PONG)),
                fin=draw.random() < 0.8,
            )
            for _ in range(draw.choice((1, 20, 2000)))
        ]
        close = frame(
            struct.pack("!H", draw.choice((0, 999, 1000, 1005, 1006, 1015, 5000))) + b"\xff", _CLOSE
        )
        return self._opened(b"".join(some), close, frame(self._body()))

    def _control_flood(self) -> list[bytes]:
        """More frames that carry nothing than are borne, with what is not complete around them."""
        draw = self._random
        begun = draw.choice((b"", frame(self._body(), fin=False)))
        idle = draw.choice(
            (frame(b"", _PONG), frame(b"x" * 125, _PING), frame(b"", 0, fin=False), frame(b'{"token":"x"}'))
        )
        end = draw.choice((b"", frame(b"", _CLOSE), frame(b"x", _BINARY), frame(self._body())[:-1]))
        return self._opened(begun + idle * draw.choice((1000, 20_000)) + end, idle * 1000)

    def _slow_frames(self) -> list[bytes]:
        """A few bytes at a time, and no end; in fragments too, with control frames between."""
        draw = self._random
        text = frame(self._body() + b" " * draw.choice((0, 100_000)), fin=draw.random() < 0.5)
        at = draw.randrange(len(text))
        drops = [text[at + index : at + index + 1] for index in range(draw.randrange(20))]
        return self._opened(
            text[:at], *drops, draw.choice((b"", frame(b"", _PING), frame(b"", 0, fin=False)))
        )

    def _lying_lengths(self) -> list[bytes]:
        length = self._random.choice((126, 70_000, 2**31, 2**40, 2**63, 2**64 - 1))
        head = b"\x81\xff" + struct.pack("!Q", length)
        return self._opened(head + b"abcd" + self._body())

    def _bad_json(self) -> list[bytes]:
        texts = (
            b"{",
            b"[" * 5000,
            b"null",
            b"[]",
            b'"x"',
            b"{}" * 3,
            b"[{}]",
            b"[" + b"1," * 600 + b"1]",
            b"\xff",
            b"",
            b"1e999",
        )
        return self._opened(
            b"".join(frame(self._random.choice(texts)) for _ in range(self._random.choice((1, 500))))
        )

    def _bombs_in_frames(self) -> list[bytes]:
        return self._opened(frame(self._bomb()), frame(self._body()))

    def _bombs_in_bodies(self) -> list[bytes]:
        path = self._random.choice(COMMAND_PATHS)
        body = self._bomb()
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        return [head + body]

    def _bomb(self) -> bytes:
        draw = self._random
        size = draw.choice((2_000, 200_000, 900_000))
        if draw.random() < 0.3:
            return draw.choice(list(bombs.batches(size, self._app_id).values()))
        field = draw.choice((b"other", b"content", b"groupId", b"messages", b"messageId", b"token"))
        return bombs.in_a_field(field, draw.choice(list(bombs.FIELDS.values())), size, self._app_id)

    def _noise(self) -> list[bytes]:
        return self._opened(self._random.randbytes(self._random.randrange(1, 5000)))

    def _half_handshake(self) -> list[bytes]:
        whole = self._opened()[0]
        return [whole[: self._random.randrange(len(whole))]]

    def _bad_handshake(self) -> list[bytes]:
        draw = self._random
        paths = (
            "/v1/gateways/",
            "/v1/gateways/a%00b/%ff",
            "/v1/gateways/a/b/c",
            "/nowhere",
            "/v1/gateways/a/" + "x" * 5000,
        )
        more = (
            "Origin: http://evil.test",
            "Sec-WebSocket-Version: 7",
            "Sec-WebSocket-Key: x",
            'Sec-WebSocket-Extensions: permessage-deflate; x="',
            "X: " + "y" * 9000,
            "Cookie: " + draw.choice(INJECTIONS),
        )
        return [
            handshake(self._host, draw.choice(paths) + "?cursor=" + "%0A" * 5, draw.choice(more)),
            frame(self._body()),
        ]

    def _bad_http(self) -> list[bytes]:
        draw = self._random
        texts = (
            b"GET / HTTP/9.9\r\n\r\n",
            _POST + b"Content-Length: -1\r\n\r\n",
            _POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            b"GET /" + b"\xff" * 50 + b" HTTP/1.1\r\n\r\n",
            b"GET http://other/livez HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
            b"GET //%2e%2e/%00?%zz=& HTTP/1.1\r\nHost: a\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\n\r\n\r\n",
            draw.randbytes(400),
        )
        return [draw.choice(texts)]

    def _hidden(self) -> bytes:
        """A body that is a whole request itself."""
        self.smuggled += 1
        ids = {"appId": self._app_id, "groupId": "smuggled", "userId": "u"}
        body = json.dumps({**ids, "content": SMUGGLED}).encode()
        return _POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)

    def _foreign_upgrade(self) -> list[bytes]:
        """A request with an upgrade that is none of ours, in pieces, with a request as its body."""
        draw, hidden = self._random, self._hidden()
        head = _POST + draw.choice(
            (
                b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
                b"Connection: upgrade\r\nUpgrade: TLS/1.0, websocket\r\n",
                b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                b"Connection: Upgrade\r\nUpgrade: IRC/6.9\r\nExpect: 100-continue\r\n",
                b"Upgrade: h2c\r\n",
            )
        )
        if draw.random() < 0.5:
            whole = head + b"Content-Length: %d\r\n\r\n%b" % (len(hidden), hidden)
        else:
            cut = draw.randrange(1, len(hidden))
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (hidden[:cut], hidden[cut:]))
            whole = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        cuts = sorted(draw.randrange(len(whole)) for _ in range(draw.choice((0, 1, 3))))
        return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def _drips(self) -> list[bytes]:
        """A connection that is kept busy with next to nothing."""
        draw = self._random
        before = draw.choice((b"", b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", _POST, _POST + b"X: "))
        drop = draw.choice(
            (b"\r\n", b"\r", b"\n", b" ", b"x", b"X: y\r\n", b"0\r\n", b"HTTP/1.1 100 Continue\r\n")
        )
        return [before, *[drop] * 10]
