"""How much nonsense of a gateway is borne."""

import asyncio

MINUTE = 60.0


class FrameRateLimit:
    """Counts what one connection wrote that was not accepted, minute by minute.

    Each refusal is answered, and an answer is larger than the least frame that earns it: without a bound a
    flood of such frames would cost others their turn, and this node memory, for nothing.
    """

    __slots__ = ("_begun", "_count", "_most")

    def __init__(self, most_a_minute: int) -> None:
        self._most = most_a_minute
        self._count = 0
        self._begun = 0.0

    @property
    def left(self) -> int:
        """How many more are borne in this minute, or in the next if it begins now."""
        now = asyncio.get_running_loop().time()
        return self._most if now - self._begun >= MINUTE else self._most - self._count

    def bears(self, refusals: int) -> bool:
        """Count more of them; False once there are too many."""
        now = asyncio.get_running_loop().time()
        if now - self._begun >= MINUTE:
            self._begun, self._count = now, 0
        self._count += refusals
        return self._count <= self._most
