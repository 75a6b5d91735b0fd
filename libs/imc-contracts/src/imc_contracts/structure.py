"""How much structure a JSON text may have: counted before a parser builds any of it.

A parser makes an object of each list and each key, so that three bytes of a text (``[],``) become some two
hundred in memory. The limit on bytes alone does not bound the work that a text causes.
"""

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

MAX_VALUES = 50_000
"""Values in one text, those in unknown fields included: a hundred for each message of the longest batch."""

UNCOUNTED_BYTES = 2 * MAX_VALUES
"""A text of no more bytes can't hold too many: a value and what parts it from the next are two."""

_STEP = 262_144
"""Bytes looked at in one step: counting ends soon after there are too many, however long the text is."""


def require_bounded(text: bytes, what: str = "body") -> None:
    """Raise `Refused` (`INVALID_FIELD`) if the JSON in ``text`` holds more than `MAX_VALUES` values.

    ``what`` names the text in the message of the refusal. Of a text that is no JSON all that comes before its
    first fault is counted, and perhaps what follows.
    """
    # What stands in strings is counted too at first: most texts have few of these characters all the same.
    if len(text) > UNCOUNTED_BYTES and _separators(text) > MAX_VALUES and _has_too_many(text):
        words = f"{what} holds too many values: it must hold at most {MAX_VALUES}, unknown fields included"
        raise Refused(ErrorCode.INVALID_FIELD, words)


def _has_too_many(text: bytes) -> bool:
    """Whether there are more than `MAX_VALUES` separators outside of strings."""
    count = at = is_in_string = 0
    while at < len(text) and count <= MAX_VALUES:
        step = text[at : at + _STEP]
        if (len(step) - len(step.rstrip(b"\\"))) % 2:
            step = text[at : at + _STEP + 1]  # an escape is not cut
        at += len(step)
        # Pairs first: of the backslashes that are left, each belongs to the character behind it.
        parts = step.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        count += _separators(b"".join(parts[is_in_string::2]))
        is_in_string = (is_in_string + len(parts) - 1) % 2
    return count > MAX_VALUES


def _separators(text: bytes) -> int:
    """At least the number of values in ``text`` but the outermost: each follows one of these, or a key."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
