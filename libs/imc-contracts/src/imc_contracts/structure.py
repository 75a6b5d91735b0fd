"""Limits the number of values in a JSON text, which are counted before the text is parsed.

A parser makes an object of each list and each key: three bytes of a text (``[],``) become some two hundred in
memory. So a limit on bytes does not bound the work that a text causes.
"""

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused

MAX_VALUES = 50_000
"""Values in one text, including unknown fields: a hundred for each message of the longest batch."""

UNCOUNTED_BYTES = 2 * MAX_VALUES
"""A text with no more bytes can't hold too many values: a value and its separator take two bytes."""

_STEP = 262_144
"""Bytes counted in one step, so that counting ends soon after there are too many."""


def require_bounded(text: bytes, what: str = "body") -> None:
    """Raise `Refused` (`INVALID_FIELD`) if the JSON in ``text`` holds more than `MAX_VALUES` values.

    ``what`` names the text in the message of the refusal. In a text that is not JSON, everything before the
    first fault is counted, and perhaps more.
    """
    # First with the separators inside of strings: most texts have few of them.
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
        # Pairs first: each backslash that is left escapes the character after it.
        parts = step.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        count += _separators(b"".join(parts[is_in_string::2]))
        is_in_string = (is_in_string + len(parts) - 1) % 2
    return count > MAX_VALUES


def _separators(text: bytes) -> int:
    """At least the number of values in ``text`` but the outermost: each follows a separator, or a key."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
