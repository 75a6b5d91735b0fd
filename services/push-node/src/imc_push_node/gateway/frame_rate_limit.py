"""The limit on frames that are not accepted."""

import asyncio

MINUTE = 60.0


class FrameRateLimit:
    """Counts the frames of one connection that were refused, minute by minute.

    Each refusal is answered, and the answer is larger than the shortest frame that causes it. Without a
    limit, a flood of such frames would take time from other gateways, and memory from the node.
    """

    __slots__ = ("_begun", "_count", "_most")

    def __init__(self, most_a_minute: int) -> None:
        self._most = most_a_minute
        self._count = 0
        self._begun = 0.0

    @property
    def left(self) -> int:
        """How many more are allowed in this minute, or in the next if this one has passed."""
        now = asyncio.get_running_loop().time()
        return self._most if now - self._begun >= MINUTE else self._most - self._count

    def allows(self, count: int) -> bool:
        """Count ``count`` more frames. Returns False once there are too many in this minute."""
        now = asyncio.get_running_loop().time()
        if now - self._begun >= MINUTE:
            self._begun, self._count = now, 0
        self._count += count
        return self._count <= self._most
