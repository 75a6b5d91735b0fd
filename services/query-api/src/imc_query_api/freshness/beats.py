"""How fresh a replica is, by the heartbeat that projectors write to the primary; no I/O.

No clocks of machines are compared. The heartbeat is a number that only grows. If the primary had beat 7 when
this process looked, beat 8 was written after that look. A replica applies transactions in the order in which
the primary committed them. So a replica that has beat 8 has everything that was committed before that look.
"""

from collections import deque
from typing import NamedTuple

NEVER = float("-inf")

MOST_BEATS = 4096
"""The most beats remembered. A replica further behind counts as no fresher than it was."""


class _Seen(NamedTuple):
    beat: int
    at: float
    """When the primary was asked that had this beat, at the latest look that found it."""


class Beats:
    """Compares the beats of a primary and its replica. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._at_primary: deque[_Seen] = deque(maxlen=MOST_BEATS)
        self._at_replica = -1
        self.complete_until = NEVER
        """The replica has everything that was committed before this time."""

    def note(self, at: float, at_primary: int, at_replica: int) -> None:
        """Note the beats that a look found: first the replica's, then, from ``at`` on, the primary's."""
        seen = self._at_primary
        if at_replica > at_primary or at_replica < self._at_replica or (seen and at_primary < seen[-1].beat):
            # One of the two was replaced, or restored from a backup: their beats prove nothing.
            seen.clear()
            self.complete_until = NEVER
        self._at_replica = at_replica
        if at_replica > at_primary:
            return
        if seen and seen[-1].beat == at_primary:
            seen.pop()
        seen.append(_Seen(at_primary, at))
        while seen[0].beat < at_replica:
            self.complete_until = seen.popleft().at
