"""Texts within every limit on bytes that are made to cost whoever reads them as much as they can."""

from collections.abc import Callable

Fill = Callable[[int], bytes]
"""The value of a field, as JSON, of about as many bytes as it is told."""


def _repeated(unit: bytes, begin: bytes = b"[", end: bytes = b"0]") -> Fill:
    return lambda size: begin + unit * ((size - len(begin) - len(end)) // len(unit)) + end


def _keys(size: int) -> bytes:
    return b"{" + b",".join(b'"%08d":{}' % number for number in range((size - 2) // 14)) + b"}"


FIELDS: dict[str, Fill] = {
    "empty lists": _repeated(b"[],"),
    "empty objects": _repeated(b"{},"),
    "objects of one key": _repeated(b'{"":{}},'),
    "short texts": _repeated(b'"ab",'),
    "escapes": _repeated(b'"\\u0000",'),
    "escaped quotes": _repeated(b'"\\\\\\"",'),
    "numbers beyond 64 bits": _repeated(b"18446744073709551616000,"),
    "floats": _repeated(b"1e-300,"),
    "keys": _keys,
    "one key again and again": _repeated(b'"a":{},', b"{", b'"b":0}'),
    "deep lists": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "deep objects": lambda size: b'{"":' * (size // 5) + b"0" + b"}" * (size // 5),
    "levels at the limit": _repeated(b"[" * 150 + b"]" * 150 + b","),
    "a number of many digits": lambda size: b"1" * size,
    "a fraction of many digits": lambda size: b"0." + b"1" * (size - 2),
    "an exponent of many digits": lambda size: b"1e" + b"1" * (size - 2),
    "one text": _repeated(b"x", b'"', b'"'),
    "one text of escapes": _repeated(b"\\u0000", b'"', b'"'),
    "one text of pairs": _repeated(b"\\ud83d\\ude00", b'"', b'"'),
    "structure in a text": _repeated(b'{\\"a\\":[1,', b'"', b'"'),
    "backslashes in a text": _repeated(b"\\\\", b'"', b'"'),
    "no end": lambda size: b"[" + b"[]," * ((size - 1) // 3),
}
"""What an unknown field, or a known one, may hold."""

_SEND = b'"appId":"%b","groupId":"g","userId":"u"'


def in_a_field(field: bytes, fill: Fill, size: int, app_id: str) -> bytes:
    """A body of a send of at most ``size`` bytes, with one field that fills it."""
    head = b"{" + _SEND % app_id.encode() + b',"content":"c","%b":' % field
    return head + fill(size - len(head) - 1) + b"}"


def batches(size: int, app_id: str) -> dict[str, bytes]:
    """Lists of sends, as a frame may hold them, of at most ``size`` bytes; some are good."""
    send = _SEND % app_id.encode()
    content = (size - 2) // 500 - len(send) - 16
    escapes, pieces = b"\\u00e9" * (content // 6), b'{\\"a\\":[1,' * (content // 10)
    each: dict[str, bytes] = {
        "empty items": b"[" + b"{}," * ((size - 4) // 3) + b"{}]",
        "as many empty items as may be": b"[" + b"{}," * 499 + b"{}]",
        "items that are no objects": b"[" + b"0," * ((size - 3) // 2) + b"0]",
        "good contents": _of_500(send, b"x" * content),
        "good contents of escapes": _of_500(send, escapes),
        "good contents of structure": _of_500(send, pieces),
        "good contents, and one item too many": _of_500(send, b"x" * (content - 1))[:-1] + b",{}]",
        "good contents, and a bad end": _of_500(send, b"x" * content)[:-1],
        "unknown fields in each": b"["
        + b",".join([b"{" + send + b',"content":"c","z":[%b0]}' % (b"[]," * 90)] * 500)
        + b"]",
    }
    return each


def _of_500(send: bytes, content: bytes) -> bytes:
    return b"[" + b",".join([b"{" + send + b',"content":"%b"}' % content] * 500) + b"]"
