"""Which ids below the last one that was read were missing; pure.

The Java version commits its inserts in another order than that of their ids. So a row may appear behind the
place that the copying has reached. It can only be among the newest ids of that moment, whose gaps are kept.
"""

from collections.abc import Sequence

WINDOW = 1_000
"""How far below the last id gaps are kept: far more than rows are written at once."""

Gap = tuple[int, int]
"""The first and the last id of a range without rows."""


def gaps_after(known: Sequence[Gap], last: int | None, ids: Sequence[int]) -> list[Gap]:
    """The gaps after the ascending ``ids``, at least one, were read.

    They all follow ``last``, the one read before; the Java version counts from 1.
    """
    gaps = list(known)
    last = min(0, ids[0] - 1) if last is None else last
    for id_ in ids:
        if id_ > last + 1:
            gaps.append((last + 1, id_ - 1))
        last = id_
    oldest = last - WINDOW
    return [(max(first, oldest), end) for first, end in gaps if end >= oldest]


def without(known: Sequence[Gap], ids: Sequence[int]) -> list[Gap]:
    """The gaps that are left when rows with the ascending ``ids`` were found in them."""
    gaps: list[Gap] = []
    for first, end in known:
        for id_ in ids:
            if first <= id_ <= end:
                if id_ > first:
                    gaps.append((first, id_ - 1))
                first = id_ + 1
        if first <= end:
            gaps.append((first, end))
    return gaps


def holds(gaps: Sequence[Gap], id_: int) -> bool:
    """Whether an id is in a gap."""
    return any(first <= id_ <= end for first, end in gaps)
