"""The traces of entries that are pushed."""

import time
from collections.abc import Callable, Sequence

OnTraced = Callable[[Sequence[str], int, int], object]
"""Told contexts of traces, when their entries came in nanoseconds of Unix time, and to how many gateways."""


class Traces:
    """The contexts of the traces of entries that wait to be pushed."""

    def __init__(self, on_traced: OnTraced | None) -> None:
        """``on_traced`` is told once they are pushed. Without it nothing is noted."""
        self._on_traced = on_traced
        self._contexts: list[str] = []
        self._since = 0

    def note(self, contexts: Sequence[str]) -> None:
        """Entries have come, some of which are traced."""
        if contexts and self._on_traced is not None:
            self._since = self._since if self._contexts else time.time_ns()
            self._contexts += contexts

    def tell(self, gateways: int) -> None:
        """All that wait were pushed to so many gateways."""
        if self._contexts and self._on_traced is not None:
            contexts, self._contexts = self._contexts, []
            self._on_traced(contexts, self._since, gateways)
