"""Pages of logs that were just read, for gateways that reconnect a moment after others.

A thousand gateways that reconnect at once arrive in waves, as fast as their handshakes are done. Without
these pages each wave would read again what the wave before it has read.

A page is used again only while a new read would show the same: no message was recalled, and the log is not
another one. Both would start a new generation. `LogReplay` checks before that nothing was missed up to the
end of the log. Trimming does not matter: what was proven stays true.
"""

from collections.abc import Container

from imc_contracts.cursor import Cursor, EntryId

from imc_push_node.gateway.push_format import PushFormat
from imc_push_node.stream.framed_entries import FramedEntries, Pushes, entry_id_of
from imc_push_node.stream.log_state import Stretch

RECENT_BYTES = 33_554_432
"""For all apps together. Beyond that the oldest pages are dropped."""

RECENT_SECONDS = 5.0


class LogPage:
    """One read of the log, as frames, up to the head. The follower delivers what is beyond."""

    def __init__(self, stretch: Stretch, head: Cursor, generation: int) -> None:
        self.stretch = stretch
        self.generation = generation
        """The generation of the app before the page was read."""
        self.end = min(stretch.end, head, key=lambda cursor: cursor.entry)
        entries = [entry for entry in stretch.entries if entry.id <= head.entry]
        self._framed = FramedEntries(stretch.state.epoch, entries, has_notices=True)
        self.size = self._framed.size

    def covers(self, point: Cursor) -> bool:
        """Whether this page, just read, decides how a gateway at ``point`` goes on."""
        if not self.stretch.state.names(point):
            return True
        return self.stretch.is_last or entry_id_of(point) < self.end.entry

    def leads_on_from(self, point: Cursor) -> bool:
        """Whether it proves ``point``, and holds what follows."""
        if point.is_unborn or point.epoch != self.stretch.state.epoch:
            return False
        is_within = entry_id_of(self.stretch.start) <= point.entry < self.end.entry
        return is_within and self.stretch.proves(point)

    def after(self, point: Cursor, push_format: PushFormat, groups: Container[str] | None = None) -> Pushes:
        """The pushes that follow ``point``: of ``groups``, or of all."""
        return self._framed.after(entry_id_of(point), push_format, groups)


_Key = tuple[str, EntryId]


class RecentPages:
    """The pages of all apps of a node, for `RECENT_SECONDS` and up to ``most_bytes``."""

    def __init__(self, most_bytes: int = RECENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._by_app: dict[str, dict[EntryId, LogPage]] = {}
        self._ages: dict[_Key, float] = {}
        """When each page was kept, the oldest first."""

    def keep(self, app_id: str, page: LogPage, now: float) -> None:
        """Keep a page that was just read; ``now`` is a time of the loop's clock."""
        key = app_id, entry_id_of(page.stretch.start)
        if key in self._ages:
            self._drop(key)
        self._by_app.setdefault(app_id, {})[key[1]] = page
        self._ages[key] = now
        self._bytes += page.size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._ages)))

    def after(self, app_id: str, point: Cursor, generation: int) -> LogPage | None:
        """A page of the app's present generation that leads on from ``point``."""
        for page in self._by_app.get(app_id, {}).values():
            if page.generation == generation and page.leads_on_from(point):
                return page
        return None

    def forget(self, before: float) -> None:
        """Drop what was kept before that time."""
        while self._ages and next(iter(self._ages.values())) < before:
            self._drop(next(iter(self._ages)))

    def leave(self, app_id: str) -> None:
        """Drop the pages of an app that is not followed any more: no recall or erasure is noticed then."""
        for start in list(self._by_app.get(app_id, ())):
            self._drop((app_id, start))

    def _drop(self, key: _Key) -> None:
        app_id, start = key
        del self._ages[key]
        pages = self._by_app[app_id]
        self._bytes -= pages.pop(start).size
        if not pages:
            del self._by_app[app_id]
