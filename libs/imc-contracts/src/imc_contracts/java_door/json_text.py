"""Reads JSON as the Java version does: Jackson with its defaults, behind Spring's choice of the charset.

A text may begin with a byte order mark. It may be in any charset that its Content-Type names. It may go on
after its first value. What Jackson refuses is refused here too: comments, single quotes, NaN.
"""

import codecs
import json
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Any, NoReturn

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_contracts.structure import require_bounded

_SPACE = " \t\n\r"
_BYTE_ORDER_MARK = "\ufeff"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A table: to look up any other name Python would search its files, and remember each name for ever.
_CHARSETS = {**{codec: codec for codec in aliases.values()}, **aliases}


class Number(str):
    """A number in a JSON text, as it is written: Jackson keeps the spelling when it makes a string of it."""

    __slots__ = ()


def is_utf8(body: bytes, charset: str | None = None) -> bool:
    """Whether ``body`` is UTF-8, if it is a JSON object: then its first two characters are ASCII."""
    return _tells_itself(charset) and 0 not in body[:4]


def read_json(body: bytes, charset: str | None = None) -> Any:
    """The first JSON value in ``body``, with each number as a `Number`.

    ``charset`` is what Content-Type names. Raises `Refused`: `UNSUPPORTED_MEDIA_TYPE` if that is unknown,
    `INVALID_FIELD` for what is no JSON or holds more values than `imc_contracts.structure` allows.
    """
    text = _decoded(body, charset).removeprefix(_BYTE_ORDER_MARK).lstrip(_SPACE)
    try:
        require_bounded(text.encode())
        return _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise _no_json(reason) from None


def _decoded(body: bytes, charset: str | None) -> str:
    if charset is not None and not _tells_itself(charset):
        try:
            return body.decode(_CHARSETS[normalize_encoding(charset.lower())], "replace")
        except LookupError:  # not in the table, or in it for something else than text
            words = "the charset in Content-Type is not known here"
            raise Refused(ErrorCode.UNSUPPORTED_MEDIA_TYPE, words) from None
    encoding = _unicode_encoding(body)
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        raise _no_json(f"its bytes are not {encoding.upper()}") from None


def _tells_itself(charset: str | None) -> bool:
    """Whether Jackson looks for the encoding in the text: if some UTF is named, or nothing.

    Spring has it look for US-ASCII too: ASCII is UTF-8, and what goes beyond it was named wrongly.
    """
    if charset is None:
        return True
    name = charset.lower()
    return name.startswith("utf") or _CHARSETS.get(normalize_encoding(name)) == "ascii"


def _unicode_encoding(body: bytes) -> str:
    """The encoding of a text in some UTF: by its mark, or by where its first characters have zeros."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return encoding
    zeros = [byte == 0 for byte in body[:4]]
    match zeros:
        case [True, True, True, False]:
            return "utf-32-be"
        case [False, True, True, True]:
            return "utf-32-le"
        case [True, False, *_]:
            return "utf-16-be"
        case [False, True, *_]:
            return "utf-16-le"
        case _:
            return "utf-8"


def _no_value(word: str) -> NoReturn:
    """Refuse NaN and the infinities, which are no JSON."""
    raise ValueError(word)


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_no_value)


def _no_json(reason: str) -> Refused:
    return Refused(ErrorCode.INVALID_FIELD, "body is not valid JSON" + (f": {reason}" if reason else ""))
