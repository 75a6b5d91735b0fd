"""Reading a request's target: its path and its query, decoded strictly or not at all.

A lenient decoder turns every sequence that is not UTF-8 into the same U+FFFD, so that two ids become one.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

_CUT_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SHORT = 100
_SCHEMES = (b"http://", b"https://", b"ws://", b"wss://")

MAX_PARAMETERS = 1000
"""The most that a query or a form may hold: each costs more than its bytes."""


class Target(NamedTuple):
    """A request's target (RFC 9112, section 3.2)."""

    path: str
    raw_path: bytes
    query: bytes
    host: bytes | None
    """The host of a target in absolute form, which replaces that of the Host header."""


def read_target(target: bytes) -> Target:
    """Take a target apart; raises `Refused` (`INVALID_FIELD`).

    The path is decoded. The query is not, but each of its escapes is one of UTF-8 afterwards.
    """
    if len(target) <= _SHORT and b"?" not in target:
        return _read_known(target)  # most calls are of few paths
    return _read(target)


def _read(target: bytes) -> Target:
    host = None
    if not target.isascii():
        raise _refusal("the request's target holds bytes that are not ASCII")
    if not target.startswith(b"/"):
        host, target = _origin_form(target)
    if b"#" in target:
        target = target.partition(b"#")[0]
    raw_path, _, query = target.partition(b"?")
    if b"%" not in target:
        return Target(raw_path.decode("ascii"), raw_path, query, host)
    path = unquote_strictly(raw_path, "the path") if b"%" in raw_path else raw_path.decode("ascii")
    if b"%" in query:
        check_form(query)
    return Target(path, raw_path, query, host)


_read_known = lru_cache(256)(_read)


def check_form(text: bytes) -> str:
    """Check each escape in a query, or in a body of its form; raises `Refused` (`INVALID_FIELD`).

    Returns the text, whose parts a lenient decoder reads as a strict one does.
    """
    if text.count(b"&") >= MAX_PARAMETERS:
        raise Refused(ErrorCode.INVALID_FIELD, f"there are more than {MAX_PARAMETERS} parameters")
    try:
        unquote_strictly(text, "")  # as a whole first: no character lies across a separator
    except Refused:
        for part in text.split(b"&"):
            name, _, value = part.partition(b"=")
            unquote_strictly(value, unquote_strictly(name, "a parameter's name"))
        raise
    return text.decode()


def unquote_strictly(text: bytes, name: str) -> str:
    """Decode percent-escapes; raises `Refused` (`INVALID_FIELD`), whose words begin with ``name``."""
    if _CUT_ESCAPE.search(text):
        raise _refusal(f"{name} holds a % without two hexadecimal digits after it")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _refusal(f"{name} holds bytes that are not UTF-8") from None


def _origin_form(target: bytes) -> tuple[bytes | None, bytes]:
    """The host and the rest of a target that does not begin with a path."""
    if not target.lower().startswith(_SCHEMES):
        return None, target  # `*`: a path that nobody has
    parts = urlsplit(target)
    query = b"?" + parts.query if parts.query else b""
    return parts.netloc.rpartition(b"@")[2], (parts.path or b"/") + query


def _refusal(fault: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, f"{fault}: write text as UTF-8, each byte of it as %XX")
