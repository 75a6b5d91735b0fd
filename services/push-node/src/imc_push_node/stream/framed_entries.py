"""Entries as frames, encoded once for all gateways that get the same bytes."""

from bisect import bisect_right
from collections.abc import Container, Sequence
from typing import NamedTuple

from imc_contracts.cursor import ORIGIN, Cursor, EntryId
from imc_contracts.events import Entry

from imc_push_node.gateway.frames import pushes
from imc_push_node.gateway.gateway import Amount
from imc_push_node.gateway.push_format import PushFormat


class Pushes(NamedTuple):
    """Frames that are written in one step. ``amount``: all entries, also those without a frame."""

    frames: bytes
    number: int
    amount: Amount


class FramedEntries:
    """Entries of one epoch in their order. A format that no gateway asks for costs nothing."""

    __slots__ = (
        "_amounts",
        "_entries",
        "_epoch",
        "_frames",
        "_group_ids",
        "_has_notices",
        "_ids",
        "_parts",
        "_shared",
        "_size",
    )

    def __init__(
        self, epoch: str, entries: Sequence[Entry], *, has_notices: bool, size: int | None = None
    ) -> None:
        """Without ``has_notices`` none of the entries is a notice. ``size``: their bytes, if known."""
        self._epoch = epoch
        self._entries = entries
        self._has_notices = has_notices
        self._size = size
        self._ids: list[EntryId] | None = None
        self._group_ids: list[str | None] | None = None
        self._amounts: dict[int, Amount] = {}
        self._frames: dict[str, list[bytes]] = {}
        """The frames of all entries, by their encoding."""
        self._shared: dict[str, Pushes] = {}
        """The pushes of all entries by their encoding, if there are no notices."""
        self._parts: dict[tuple[int, PushFormat], Pushes] = {}

    @property
    def size(self) -> int:
        """Bytes of all entries, before they are framed."""
        if self._size is None:
            self._size = _size_of(self._entries)
        return self._size

    def all(self, push_format: PushFormat) -> Pushes:
        """The pushes of all entries in one format. Formats with the same bytes share them."""
        if self._has_notices:
            return self._from(0, push_format)
        shared = self._shared.get(push_format.encoding)
        if shared is None:
            frames = self._framed(push_format)
            shared = self._shared[push_format.encoding] = Pushes(
                b"".join(frames), _number_of(frames), Amount(len(self._entries), self.size)
            )
        return shared

    @property
    def group_ids(self) -> Sequence[str | None]:
        """The group of each entry; None for one that is for all gateways."""
        if self._group_ids is None:
            self._group_ids = [entry.group_id for entry in self._entries]
        return self._group_ids

    def at(self, places: Sequence[int], push_format: PushFormat) -> tuple[bytes, int]:
        """The frames of the entries at these places in one format, joined, and their number."""
        frames = self._framed(push_format)
        chosen = [
            frames[place]
            for place in places
            if push_format.has_notices or not self._entries[place].kind.is_notice
        ]
        return b"".join(chosen), _number_of(chosen)

    def after(
        self, entry_id: EntryId, push_format: PushFormat, groups: Container[str] | None = None
    ) -> Pushes:
        """The pushes of the entries after ``entry_id`` in one format, joined once for all who ask.

        With ``groups`` only those of these groups, and of no single group, joined for the one who asks.
        """
        if self._ids is None:
            self._ids = [entry.id for entry in self._entries]
        first = bisect_right(self._ids, entry_id)
        if groups is None:
            return self._from(first, push_format)
        following = enumerate(self.group_ids[first:], first)
        places = [place for place, group_id in following if group_id is None or group_id in groups]
        return Pushes(*self.at(places, push_format), self._amount_from(first))

    def _from(self, first: int, push_format: PushFormat) -> Pushes:
        part = self._parts.get((first, push_format))
        if part is None:
            frames = self._framed(push_format)
            if first:
                frames = frames[first:]
            if self._has_notices and not push_format.has_notices:
                pairs = zip(self._entries[first:], frames, strict=True)
                frames = [frame for entry, frame in pairs if not entry.kind.is_notice]
            part = Pushes(b"".join(frames), _number_of(frames), self._amount_from(first))
            self._parts[first, push_format] = part
        return part

    def _amount_from(self, first: int) -> Amount:
        amount = self._amounts.get(first)
        if amount is None:
            amount = Amount(len(self._entries) - first, _size_of(self._entries[first:]))
            self._amounts[first] = amount
        return amount

    def _framed(self, push_format: PushFormat) -> list[bytes]:
        frames = self._frames.get(push_format.encoding)
        if frames is None:
            frames = pushes(push_format, self._epoch, self._entries)
            self._frames[push_format.encoding] = frames
        return frames


def _number_of(frames: Sequence[bytes]) -> int:
    """How many frames there are: some entries have none in some formats."""
    return len(frames) - frames.count(b"")


def _size_of(entries: Sequence[Entry]) -> int:
    return sum(len(entry.body) for entry in entries)


def entry_id_of(point: Cursor) -> EntryId:
    """The id of the entry at a point of a log. The point of a log without entries is before all of them."""
    return ORIGIN if point.is_unborn else point.entry
