"""Entries as frames, encoded once for all gateways that get the same bytes."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_contracts.events import Entry

from imc_push_node.gateway.frames import pushes
from imc_push_node.gateway.push_format import PushFormat


class Pushes(NamedTuple):
    """Frames that are written in one step."""

    frames: bytes
    number: int


class FramedEntries:
    """Entries of one epoch in their order. A format that no gateway asks for costs nothing."""

    __slots__ = ("_entries", "_epoch", "_frames", "_has_notices", "_ids", "_parts")

    def __init__(self, epoch: str, entries: Sequence[Entry], *, has_notices: bool) -> None:
        """Without ``has_notices`` none of the entries is a notice."""
        self._epoch = epoch
        self._entries = entries
        self._has_notices = has_notices
        self._ids: list[EntryId] | None = None
        self._frames: dict[bool, list[bytes]] = {}
        """The frames of all entries, by whether they have cursors."""
        self._parts: dict[tuple[int, PushFormat], Pushes] = {}

    @property
    def size(self) -> int:
        """Bytes of all entries, before they are framed."""
        return sum(len(entry.body) for entry in self._entries)

    def all(self, push_format: PushFormat) -> Pushes:
        """The pushes of all entries in one format."""
        return self._from(0, push_format)

    def after(self, entry_id: EntryId, push_format: PushFormat) -> Pushes:
        """The pushes of the entries after ``entry_id`` in one format, joined once for all who ask."""
        if self._ids is None:
            self._ids = [entry.id for entry in self._entries]
        return self._from(bisect_right(self._ids, entry_id), push_format)

    def _from(self, first: int, push_format: PushFormat) -> Pushes:
        if not self._has_notices and push_format is PushFormat.V1_WITH_NOTICES:
            push_format = PushFormat.V1  # the same bytes, in memory once
        part = self._parts.get((first, push_format))
        if part is None:
            frames = self._framed(push_format)
            if first:
                frames = frames[first:]
            if self._has_notices and not push_format.has_notices:
                pairs = zip(self._entries[first:], frames, strict=True)
                frames = [frame for entry, frame in pairs if not entry.kind.is_notice]
            part = self._parts[first, push_format] = Pushes(b"".join(frames), len(frames))
        return part

    def _framed(self, push_format: PushFormat) -> list[bytes]:
        frames = self._frames.get(push_format.has_cursors)
        if frames is None:
            frames = pushes(push_format, self._epoch, self._entries)
            self._frames[push_format.has_cursors] = frames
        return frames


def entry_id_of(point: Cursor) -> EntryId:
    """The id of the entry at a point of a log. The point of a log without entries is before all of them."""
    return ORIGIN if point.is_unborn else point.entry
