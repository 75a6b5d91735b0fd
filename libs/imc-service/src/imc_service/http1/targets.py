"""Reads the target of a request: its path and its query. Escapes must be UTF-8.

A lenient decoder would turn all sequences that are not UTF-8 into the same U+FFFD: two ids would become one.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

_CUT_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ASCII_AND_ESCAPES = re.compile(
    rb"""(?: [^%\x80-\xff]++ | %(?:
        [0-7][0-9a-f]
        | (?: c[2-9a-f] | d[0-9a-f] ) %[89ab][0-9a-f]
        | e(?: 0%[ab] | [1-9a-cef]%[89ab] | d%[89] ) [0-9a-f] %[89ab][0-9a-f]
        | f(?: 0%[9ab] | [1-3]%[89ab] | 4%8 ) [0-9a-f] %[89ab][0-9a-f] %[89ab][0-9a-f]
    ))*+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Valid text: its escapes are characters of UTF-8 (RFC 3629, section 4), the rest is ASCII."""
_SHORT = 100
_SCHEMES = (b"http://", b"https://", b"ws://", b"wss://")

MAX_PARAMETERS = 1000
"""The most parameters of a query or a form: each costs more than its bytes."""


class Path(NamedTuple):
    """The part of a target before the query (RFC 9112, section 3.2)."""

    decoded: str
    raw: bytes
    host: bytes | None
    """The host of a target in absolute form, which replaces that of the Host header."""


def read_target(target: bytes) -> tuple[Path, bytes]:
    """The path and the query of a target. Raises `Refused` (`INVALID_FIELD`).

    The path is decoded. The query is not, but its escapes are checked to be UTF-8.
    """
    if not target.isascii():
        raise _refusal("the request's target holds bytes that are not ASCII")
    # `in` would be slow: it takes what it looks for to be a number first, and raises an error inside.
    if target.find(b"#") >= 0:
        target = target.partition(b"#")[0]
    before, _, query = target.partition(b"?")
    path = _read_known_path(before) if len(before) <= _SHORT else _read_path(before)
    if query.find(b"%") >= 0:
        check_form(query)
    return path, query


def path_as_sent(target: bytes) -> str:
    """The path of a target that may be cut or malformed, not decoded: to choose the form of its refusal."""
    if target.startswith(b"/"):
        return target.decode("latin-1")
    try:
        return urlsplit(target.decode("latin-1")).path
    except ValueError:  # brackets that do not fit
        return ""


def _read_path(text: bytes) -> Path:
    host = None
    if not text.startswith(b"/"):
        host, text = _origin_form(text)
    decoded = unquote_strictly(text, "the path") if b"%" in text else text.decode("ascii")
    return Path(decoded, text, host)


_read_known_path = lru_cache(256)(_read_path)  # most calls use few paths


def check_form(text: bytes) -> str:
    """Check the escapes in a query, or in a form. Raises `Refused` (`INVALID_FIELD`).

    Returns the text, which a lenient decoder then reads as a strict one.
    """
    if text.count(b"&") >= MAX_PARAMETERS:
        raise Refused(ErrorCode.INVALID_FIELD, f"there are more than {MAX_PARAMETERS} parameters")
    if _ASCII_AND_ESCAPES.fullmatch(text):
        return text.decode("ascii")
    try:
        unquote_strictly(text, "")  # as a whole first: no character lies across a separator
    except Refused:
        for part in text.split(b"&"):
            name, _, value = part.partition(b"=")
            unquote_strictly(value, unquote_strictly(name, "a parameter's name"))
        raise
    return text.decode()


def unquote_strictly(text: bytes, name: str) -> str:
    """Decode percent-escapes. Raises `Refused` (`INVALID_FIELD`), whose message begins with ``name``."""
    if _CUT_ESCAPE.search(text):
        raise _refusal(f"{name} holds a % without two hexadecimal digits after it")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise _refusal(f"{name} holds bytes that are not UTF-8") from None


def _origin_form(target: bytes) -> tuple[bytes | None, bytes]:
    """The host and the path of a target in absolute form, without its query."""
    if not target.lower().startswith(_SCHEMES):
        return None, target  # `*`: a path without a route
    parts = urlsplit(target)
    return parts.netloc.rpartition(b"@")[2], parts.path or b"/"


def _refusal(fault: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, f"{fault}: write text as UTF-8, each byte of it as %XX")
