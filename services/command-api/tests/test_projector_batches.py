"""How stretches are distributed over transactions."""

import pytest
from imc_command_api.projector.stretch import (
    TRANSACTION_BYTES,
    TRANSACTION_ENTRIES,
    LogEntry,
    Stretch,
    transactions_of,
)
from imc_contracts.cursor import EntryId


def stretch_of(app_id: str, sizes: list[int]) -> Stretch:
    entries = [LogEntry(b"1-%d" % number, size, None, "of no matter") for number, size in enumerate(sizes, 1)]
    return Stretch(app_id, b"epoch", b"1-0", entries)


QUARTER = TRANSACTION_BYTES // 4


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([1], [1]),
        ([1] * TRANSACTION_ENTRIES, [TRANSACTION_ENTRIES]),
        ([1] * (2 * TRANSACTION_ENTRIES + 1), [TRANSACTION_ENTRIES, TRANSACTION_ENTRIES, 1]),
        ([QUARTER] * 9, [4, 4, 1]),
        ([QUARTER] * 3 + [QUARTER + 1] + [QUARTER] * 3, [3, 3, 1]),
        ([TRANSACTION_BYTES + 1] * 3, [1, 1, 1]),
        ([1, TRANSACTION_BYTES + 1, 1], [1, 1, 1]),
    ],
    ids=["one", "as many as may be", "more", "bytes", "a byte too many", "too large", "one too large"],
)
@pytest.mark.parametrize("apps", [1, 2, 3])
def test_stretches_are_cut_where_a_transaction_would_be_too_large(
    sizes: list[int], cut: list[int], apps: int
):
    each = -(-len(sizes) // apps)
    begins = range(0, len(sizes), each)
    stretches = [stretch_of(f"app-{begin}", sizes[begin : begin + each]) for begin in begins]
    parts = list(transactions_of(stretches))
    assert [sum(len(stretch.entries) for stretch in part) for part in parts] == cut
    for stretch in stretches:
        pieces = [piece for part in parts for piece in part if piece.app_id == stretch.app_id]
        assert [entry for piece in pieces for entry in piece.entries] == stretch.entries
        # Each piece begins where the one before ended.
        assert [piece.after for piece in pieces] == [stretch.after, *(piece.end for piece in pieces[:-1])]


@pytest.mark.parametrize(
    ("after", "ids", "position"),
    [
        (b"1-0", [], "1-0"),
        (b"1-0", [b"2-0", b"3-7"], "3-7"),
        (b"1-0", [b"2-0", b"99999999999999-0", b"99999999999999-1"], "2-0"),
        (b"1-0", [b"99999999999999-0"], "1-0"),
        (b"99999999999999-0", [b"99999999999999-1"], None),
    ],
)
def test_the_database_is_as_far_as_the_last_id_that_it_can_hold(
    after: bytes, ids: list[bytes], position: str | None
):
    stretch = Stretch("app", b"epoch", after, [LogEntry(each, 1, None, "of no matter") for each in ids])
    assert stretch.position == (position and ("epoch", EntryId.parse(position).column))


def test_a_stretch_without_entries_is_not_lost():
    empty = stretch_of("app", [])
    assert list(transactions_of([empty])) == [[empty]]
    assert empty.end == empty.after
