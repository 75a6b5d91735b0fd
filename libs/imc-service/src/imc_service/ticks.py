"""Periodic work of a process wakes it up together: each wake-up finds the caches cold, and costs more than
most of that work.
"""

import asyncio
import math

TICK_SECONDS = 0.25


def pause(seconds: float) -> float:
    """How long to sleep for work that is due every ``seconds``: to a tick that all such work shares.

    It is up to a tick less than ``seconds``. Shorter times than a tick are left as they are.
    """
    if seconds < TICK_SECONDS:
        return seconds
    now = asyncio.get_running_loop().time()
    return math.floor((now + seconds) / TICK_SECONDS) * TICK_SECONDS - now
