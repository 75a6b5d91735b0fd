"""An event loop with virtual time: sleeping takes no real time, and each run is the same."""

import asyncio
import selectors
from collections.abc import Mapping


class _VirtualClock(selectors.BaseSelector):
    """Has no sockets. Instead of waiting, it advances the time to the next timer."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all tasks wait, and there is no timer"
        self.now += max(timeout, 0)
        return []

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)  # type: ignore[arg-type]

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)  # type: ignore[arg-type]

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:  # type: ignore[override]
        return {}


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop for code without sockets and threads. Tasks run in the order they became ready."""

    def __init__(self) -> None:
        self._virtual_clock = _VirtualClock()
        super().__init__(self._virtual_clock)

    def time(self) -> float:
        """Virtual seconds since the loop was created."""
        return self._virtual_clock.now
