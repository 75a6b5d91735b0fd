"""What the end of a connection means: whether to connect again, and when. No I/O.

The codes are those of the table "When a connection ends" of IMC's documentation for gateways.
"""

import logging
import random
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed

from imc_gateway.errors import Disconnected, Ended, Replaced

LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.5

BAD_TOKEN = 4401
NO_PROGRESS = 4408
_AT_ONCE = frozenset({1000, 1001, 1005, 1006, 1012, NO_PROGRESS})
_FINAL = frozenset({1003, 1007, 1008, 1009})
_RETRYABLE_STATUSES = frozenset({408, 425, 429})


@dataclass(slots=True)
class Ending:
    """Why there is no connection."""

    words: str
    pause: float | None = None
    """Seconds to wait; None for a random time that grows with each failure."""
    fault: Ended | None = None
    """Set if connecting again would not help."""
    is_of_token: bool = False
    """Whether a fresh token may help, if the fault is that."""
    was_connected: bool = False
    """Whether it was no failure: the first pause is none then."""
    level: int = logging.INFO
    """How it is logged: as a warning if the gateway has to become better."""

    @classmethod
    def final(cls, code: int, reason: str) -> "Ending":
        """One that stays as it is."""
        return cls(f"{code}: {reason}", fault=_fault(code, reason))


def of_close(closed: ConnectionClosed, *, was_connected: bool) -> Ending:
    """What the end of a WebSocket means; ``was_connected``: whether it began with 2000."""
    code = 1006 if closed.rcvd is None else closed.rcvd.code
    reason = "the connection broke off" if closed.rcvd is None else closed.rcvd.reason
    words = f"{code}: {reason}"
    if code in _AT_ONCE:
        level = logging.WARNING if code == NO_PROGRESS else logging.INFO
        return Ending(words, was_connected=was_connected, level=level)
    if code == BAD_TOKEN:
        fault = _fault(code, reason)
        return Ending(words, fault=fault, is_of_token=True, was_connected=was_connected)
    if code in _FINAL or code >= 4400:
        return Ending.final(code, reason)
    return Ending(words)


def of_status(status: int, retry_after: float | None) -> Ending:
    """What a refused upgrade means."""
    words = f"the upgrade was refused with status {status}"
    if status == 401:
        return Ending(words, fault=_fault(status, words), is_of_token=True)
    if 400 <= status < 500 and status not in _RETRYABLE_STATUSES:
        return Ending.final(status, words)
    return Ending(words, retry_after)


def pause_after(failures: int) -> float:
    """How many seconds to wait: none at first, then a random time up to a bound that doubles."""
    longest = 0.0 if failures < 1 else min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    return random.uniform(0, longest)  # noqa: S311 - no secret


def _fault(code: int, reason: str) -> Ended:
    kinds = {4409: Replaced, 4410: Disconnected}
    return kinds.get(code, Ended)(code, reason)
