"""The groups that a gateway holds, and the frames that say so. No I/O.

Frames are answered in their order. A new connection lists all groups anew: so it says all that the frames
did which the last one left without an answer.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from imc_gateway.errors import ImcError

MOST_A_FRAME = 10_000
FRAME_BYTES = 1_000_000
"""A frame holds fewer groups if their ids are long."""


@dataclass(slots=True)
class _Change:
    """One frame, and what became of it. ``added`` and ``removed`` are what it changes."""

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    is_of_list: bool = False
    answers: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])


class HeldGroups:
    """The groups of one gateway. Without a list it gets the events of all groups."""

    def __init__(self, groups: Iterable[str] | None) -> None:
        self._held = None if groups is None else set(groups)
        self._is_open = False
        self._unanswered: deque[_Change] = deque()
        self._fault: Exception | None = None
        self.outgoing: deque[str] = deque()
        """The frames to write next."""

    @property
    def are_listed(self) -> bool:
        """Whether the gateway gets the events of some groups only."""
        return self._held is not None

    def __contains__(self, group_id: str) -> bool:
        return self._held is None or group_id in self._held

    def begin(self) -> bool:
        """A connection has begun: list all groups on it. Returns whether nothing has to be listed."""
        if self._held is None:
            return True
        answers = [answer for change in self._unanswered for answer in change.answers]
        parts = list(_parts(self._held)) or [[]]
        self.outgoing = deque(_frame(add=part, more=part is not parts[-1]) for part in parts)
        self._unanswered = deque(_Change(is_of_list=True) for _ in parts)
        self._unanswered[-1].answers = answers
        self._is_open = True
        return False

    def end(self) -> None:
        """The connection has ended."""
        self._is_open = False
        self.outgoing.clear()

    def fail(self, fault: Exception) -> None:
        """No connection follows any more, because of ``fault``."""
        self._fault = fault
        for change in self._unanswered:
            for answer in change.answers:
                if not answer.done():
                    answer.set_exception(fault)

    def changes(self, add: Iterable[str], remove: Iterable[str]) -> Iterator[asyncio.Future[None]]:
        """Change the groups, in as many frames as it takes: the answer of each, which is written meanwhile.

        Raises `ValueError` without a list.
        """
        if self._held is None:
            raise ValueError("the gateway gets the events of all groups: give groups to connect")
        for part in _parts(dict.fromkeys(remove)):
            yield self._change(frozenset(), frozenset(part))
        for part in _parts(dict.fromkeys(add)):
            yield self._change(frozenset(part), frozenset())

    def _change(self, add: frozenset[str], remove: frozenset[str]) -> asyncio.Future[None]:
        held = self._held if self._held is not None else set[str]()
        if self._fault is not None:
            raise self._fault
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unanswered.append(_Change(add - held, remove & held, answers=[answer]))
        held -= remove
        held |= add
        if self._is_open:
            self.outgoing.append(_frame(add=list(add), remove=list(remove)))
        return answer

    def taken(self) -> bool:
        """The oldest frame without an answer was taken. Returns whether all groups are listed now."""
        change = self._unanswered.popleft()
        for answer in change.answers:
            if not answer.done():
                answer.set_result(None)
        return change.is_of_list and not (self._unanswered and self._unanswered[0].is_of_list)

    def refused(self, error: ImcError) -> bool:
        """The oldest frame without an answer was refused. Returns whether it was one of the list."""
        change = self._unanswered[0]
        if change.is_of_list:
            return True
        self._unanswered.popleft()
        if self._held is not None:
            self._held -= change.added
            self._held |= change.removed
        for answer in change.answers:
            if not answer.done():
                answer.set_exception(error)
        return False


def _parts(groups: Iterable[str]) -> Iterator[list[str]]:
    """The groups, in parts that fit into a frame each."""
    each = iter(groups)
    while part := list(islice(each, MOST_A_FRAME)):
        at = size = 0
        for end, group_id in enumerate(part):
            # Each character may take four bytes, or be escaped.
            size += len(json.dumps(group_id, ensure_ascii=False).encode()) + 2
            if size > FRAME_BYTES:
                yield part[at:end]
                at, size = end, 0
        yield part[at:]


def _frame(*, add: list[str], remove: list[str] | None = None, more: bool = False) -> str:
    fields: dict[str, object] = {"addGroups": add}
    if remove:
        fields["removeGroups"] = remove
    if more:
        fields["more"] = True
    return json.dumps(fields, ensure_ascii=False)
