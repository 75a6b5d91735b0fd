"""A page of entries as frames, for many gateways that each need another part of it."""

from bisect import bisect_right
from collections.abc import Sequence

from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_contracts.events import Entry

from imc_push_node.gateway import frames


class FramedEntries:
    """Entries of one epoch in their order, each encoded once."""

    def __init__(self, epoch: str, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._ids = [entry.id for entry in entries]
        self._frames = [frames.push(epoch, entry) for entry in entries]
        self._parts: dict[tuple[int, bool], tuple[int, bytes]] = {}
        self.size = sum(map(len, self._frames))
        """Bytes of all frames."""

    def after(self, place: EntryId, with_notices: bool) -> tuple[int, bytes]:
        """How many pushes follow ``place``, and their frames, joined once for all gateways at one place."""
        key = (bisect_right(self._ids, place), with_notices)
        part = self._parts.get(key)
        if part is None:
            chosen = [
                frame
                for entry, frame in zip(self._entries[key[0] :], self._frames[key[0] :], strict=True)
                if with_notices or not entry.kind.is_notice
            ]
            part = self._parts[key] = (len(chosen), b"".join(chosen))
        return part


def place_of(point: Cursor) -> EntryId:
    """Where in its log a point is; that of a log which held nothing yet, before everything."""
    return ORIGIN if point.is_unborn else point.entry
