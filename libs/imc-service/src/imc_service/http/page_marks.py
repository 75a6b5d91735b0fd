"""Marks: the opaque texts by which long lists are read on, page after page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from pydantic import PlainValidator, WithJsonSchema

MOST_CHARACTERS = 4096

AFTER_RULE = "the next of a page, as it was given"


def mark_of(position: bytes | None) -> str | None:
    """The mark of a position in a list; None if there is none."""
    return None if position is None else base64.urlsafe_b64encode(position).decode().rstrip("=")


def page_data(key: str, items: Sequence[Any], position: bytes | None) -> dict[str, Any]:
    """What a reply says of a page whose items stand under ``key``; the next one begins after ``position``."""
    return {key: items, "hasMore": position is not None, "next": mark_of(position)}


def read_mark(mark: str) -> bytes:
    """The inverse of `mark_of`. Raises `ValueError` for anything else."""
    if len(mark) > MOST_CHARACTERS:
        raise ValueError("too long")
    try:
        return base64.b64decode(mark + "=" * (-len(mark) % 4), b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not a mark") from None


def foreign_mark() -> Refused:
    """The refusal of a mark that is none of the list in question."""
    return Refused(ErrorCode.INVALID_FIELD, f"after is not valid: it must be {AFTER_RULE}")


After = Annotated[
    bytes, PlainValidator(read_mark), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9_-]{1,4096}$"})
]
