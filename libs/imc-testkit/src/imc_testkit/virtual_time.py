"""An event loop whose time passes at once: waiting costs nothing, and each run is the same."""

import asyncio
import selectors
from collections.abc import Mapping


class _NothingToHear(selectors.BaseSelector):
    """Instead of waiting for sockets, time jumps to when the next timer is due."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everything waits for what can't happen"
        self.now += max(timeout, 0)
        return []

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)  # type: ignore[arg-type]

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)  # type: ignore[arg-type]

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:  # type: ignore[override]
        return {}


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """For code without sockets and threads. Tasks run in the order in which they became ready."""

    def __init__(self) -> None:
        self._instant = _NothingToHear()
        super().__init__(self._instant)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._instant.now
